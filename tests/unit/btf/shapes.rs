// SPDX-License-Identifier: BSD-2-Clause
// Structures and enumerations of Rust.
pub enum Shape {
    Circle(u8, u32),
    Square { side: u64 },
    Nothing,
}
pub struct Point<T> {
    pub x: T,
    pub maybe: Option<Box<u32>>,
    pub shape: Shape,
    pub pair: (u8, u64),
}
pub mod inner {
    #[repr(C)]
    pub struct Deep {
        pub letter: char,
        pub flag: bool,
    }
}
#[no_mangle]
pub extern "C" fn shapes_look(p: &Point<f64>, d: &inner::Deep) -> u32 {
    match p.shape {
        Shape::Circle(a, b) => a as u32 + b,
        Shape::Square { side } => side as u32,
        Shape::Nothing => d.flag as u32,
    }
}
