/* SPDX-License-Identifier: MIT */
/* A library that does nothing: what attach_speed.py has gdb load. */
__attribute__((visibility("default"))) int idle_library;
