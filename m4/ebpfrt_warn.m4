dnl SPDX-License-Identifier: BSD-2-Clause
dnl EBPFRT_WARN_ADD(FLAG): append FLAG to EBPFRT_WARN where the compiler has it.
AC_DEFUN([EBPFRT_WARN_ADD], [AX_CHECK_COMPILE_FLAG([$1], [EBPFRT_WARN="$EBPFRT_WARN $1"], [], [-Werror])])
