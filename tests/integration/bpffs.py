#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes, walks and removes names below /sys/fs/bpf/t in every way that programs do, and prints what came of it: the same on
a kernel's bpffs and under `ebpfrt exec`."""
import ctypes
import errno
import glob
import os
import subprocess

TOP = "/sys/fs/bpf/t"
libc = ctypes.CDLL(None, use_errno=True)


def at(*names):
    return os.path.join(TOP, *names)


def say(what, fn):
    try:
        r = fn()
        print(what + ":", "ok" if r is None else r)
    except OSError as e:
        print(what + ":", errno.errorcode[e.errno])


def tool(*cmd, cwd=None):
    r = subprocess.run(cmd, cwd=cwd, capture_output=True, text=True, check=False)
    print("$", " ".join(cmd), "in " + cwd if cwd else "", "->", r.returncode)
    for line in sorted((r.stdout + r.stderr).splitlines()):
        print("  ", line)


def walk(path):
    return sorted((p, sorted(d), f) for p, d, f in os.walk(path))


def nftw(path, flags):
    seen = []
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_int))

    def note(name, _stat, what, where):
        seen.append((name.decode(), what, name.decode()[where[0] :], where[1]))
        return 0

    r = libc.nftw(path.encode(), kind(note), 8, flags)
    print("nftw", path, flags, r, sorted(seen))


def libc_glob(pattern):
    class Glob(ctypes.Structure):
        _fields_ = [("n", ctypes.c_size_t), ("names", ctypes.POINTER(ctypes.c_char_p)), ("rest", ctypes.c_char * 64)]

    g = Glob()
    r = libc.glob(pattern.encode(), 0, None, ctypes.byref(g))
    print("glob", pattern, r, [g.names[i].decode() for i in range(g.n)])


def making():
    say("mkdir", lambda: os.mkdir(TOP))
    say("mkdir again", lambda: os.mkdir(TOP))
    say("mkdir /", lambda: os.mkdir(at("slash/")))
    say("mkdir dot", lambda: os.mkdir(at("x.y")))
    say("mkdir nowhere", lambda: os.mkdir(at("none", "x")))
    say("mkdir .", lambda: os.mkdir(at(".")))
    say("mkdir root", lambda: os.mkdir("/sys/fs/bpf"))
    say("mkdir long", lambda: os.mkdir(at("x" * 256)))
    say("makedirs", lambda: os.makedirs(at("a", "b", "c")))
    say("create", lambda: os.open(at("f"), os.O_CREAT | os.O_RDWR, 0o600))
    say("create nowhere", lambda: os.open(at("none", "f"), os.O_CREAT | os.O_RDWR, 0o600))
    say("create a directory", lambda: os.open(TOP, os.O_CREAT | os.O_RDWR, 0o600))
    say("create nameless", lambda: os.open(TOP, os.O_TMPFILE | os.O_RDWR, 0o600))
    say("open missing", lambda: os.open(at("f"), os.O_RDONLY))
    say("open for writing", lambda: os.open(at("a"), os.O_RDWR))
    say("mknod", lambda: os.mknod(at("n")))
    say("mkfifo", lambda: os.mkfifo(at("n")))
    say("hard link of a directory", lambda: os.link(at("a"), at("l")))
    say("symlink", lambda: os.symlink("a", at("s")))
    say("readlink", lambda: os.readlink(at("s")))
    say("through it", lambda: sorted(os.listdir(at("s"))))
    say("realpath", lambda: os.path.realpath(at("s", "b")))
    say("readlink of a directory", lambda: os.readlink(at("a")))
    say("unlink it", lambda: os.unlink(at("s")))
    say("unlink missing", lambda: os.unlink(at("s")))
    say("unlink a directory", lambda: os.unlink(at("a")))
    say("rmdir what is not empty", lambda: os.rmdir(at("a")))
    say("rmdir .", lambda: os.rmdir(at("a", ".")))
    say("rmdir missing", lambda: os.rmdir(at("none")))
    say("rmdir root", lambda: os.rmdir("/sys/fs/bpf"))
    say("rename", lambda: os.rename(at("slash"), at("moved")))
    say("rename missing", lambda: os.rename(at("none"), at("x")))
    say("rename into itself", lambda: os.rename(at("a"), at("a", "b", "x")))
    say("rename on what is not empty", lambda: os.rename(at("moved"), at("a")))
    say("rename away", lambda: os.rename(at("moved"), "/tmp/ebpfrt-moved"))
    say("rename to a dot", lambda: os.rename(at("moved"), at("x.y")))
    say("chmod", lambda: os.chmod(at("moved"), 0o711))
    say("mode", lambda: oct(os.stat(at("moved")).st_mode))
    say("utime", lambda: os.utime(at("moved"), (5, 5)))
    say("time", lambda: os.stat(at("moved")).st_mtime)


def descriptors():
    fd = os.open(at("a"), os.O_RDONLY | os.O_DIRECTORY)
    say("read", lambda: os.read(fd, 1))
    say("list", lambda: os.listdir(fd))
    say("scandir", lambda: [(e.name, e.is_dir(), e.inode() == os.stat(at("a", e.name)).st_ino) for e in os.scandir(fd)])
    say("fstatat", lambda: oct(os.stat("b", dir_fd=fd).st_mode))
    say("mkdirat", lambda: os.mkdir("d", dir_fd=fd))
    say("faccessat", lambda: os.access("d", os.R_OK, dir_fd=fd))
    say("renameat", lambda: os.rename("d", "e", src_dir_fd=fd, dst_dir_fd=fd))
    say("create there", lambda: os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    say("unlinkat", lambda: os.unlink("e", dir_fd=fd))
    say("rmdir there", lambda: os.rmdir("e", dir_fd=fd))
    say("what /proc says", lambda: os.readlink(f"/proc/self/fd/{fd}"))
    os.mkdir(at("gone"))
    gone = os.open(at("gone"), os.O_RDONLY)
    os.rmdir(at("gone"))
    say("list of what is gone", lambda: os.listdir(gone))
    say("make in what is gone", lambda: os.mkdir("x", dir_fd=gone))
    os.fchdir(fd)
    say("fchdir", os.getcwd)


def standing():
    os.chdir(at("a"))
    say("getcwd", os.getcwd)
    say("list .", lambda: os.listdir("."))
    say("mkdir", lambda: os.makedirs("p/q/r"))
    say("mkdir dot", lambda: os.mkdir("x.y"))
    say("create", lambda: os.open("f", os.O_CREAT | os.O_WRONLY))
    say("walk .", lambda: walk("."))
    say("rmdir .", lambda: os.rmdir("."))
    say("removedirs", lambda: os.removedirs("p/q/r"))
    say("realpath", lambda: os.path.realpath("b"))
    tool("pwd", "-P")
    tool("ls", "-R")
    tool("sh", "-c", "cd ../a/b && pwd && cd ../.. && pwd -P && ls a")
    say("chdir nowhere", lambda: os.chdir("none"))
    say("chdir ..", lambda: os.chdir("b/../.."))
    say("getcwd", os.getcwd)
    say("stat ..", lambda: os.stat("..").st_ino == os.stat("/sys/fs/bpf").st_ino)
    say("chdir out", lambda: os.chdir("../../.."))
    say("getcwd", os.getcwd)
    say("and back", lambda: os.chdir("/sys/fs/bpf/../bpf/t"))
    say("getcwd", os.getcwd)
    os.chdir("/sys/fs")
    say("by its last name", lambda: os.chdir("bpf/t"))
    say("getcwd", os.getcwd)
    os.chdir("/")
    say("getcwd", os.getcwd)


def walking():
    say("walk", lambda: walk(TOP))
    say("glob", lambda: sorted(glob.glob(TOP + "/*/*")))
    say("fwalk", lambda: sorted((p, sorted(d), f) for p, d, f, _ in os.fwalk(TOP)))
    for flags in (0, 1, 5, 9):
        nftw(TOP, flags)
    nftw(at("none"), 1)
    libc_glob(TOP + "/*/b*")
    libc_glob(TOP + "/none*")
    tool("find", TOP)
    tool("find", ".", "-type", "d", cwd=at("a"))
    tool("find", TOP, "-empty", "-printf", "%p %y %d %f %h\\n")
    tool("ls", TOP)
    tool("ls", "-R", TOP)
    tool("stat", "-f", "-c", "%T", TOP)
    tool("stat", "-f", "-c", "%T", ".", cwd=TOP)
    tool("stat", "-c", "%n %F %a %h", at("moved"))
    tool("realpath", at("a", "..", "moved"))
    tool("ls", "-ld", "--time-style=+", at("none"))


def leaving():
    tool("mkdir", "-p", at("z", "y", "x"))
    tool("mkdir", at("z"))
    tool("rmdir", at("z"))
    tool("rmdir", "-p", "z/y/x", cwd=TOP)
    tool("mkdir", "-p", "m/n/o", cwd=TOP)
    tool("mv", at("m"), at("z"))
    tool("rm", at("z"))
    tool("rm", "-r", at("z"))
    tool("touch", at("file"))
    tool("find", at("a"), "-delete")
    tool("find", TOP)
    tool("rm", "-rv", TOP)
    tool("ls", TOP)


os.umask(0o22)
os.environ["LC_ALL"] = "C"
making()
descriptors()
standing()
walking()
leaving()
