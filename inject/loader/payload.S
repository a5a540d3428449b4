/* SPDX-License-Identifier: MIT */
/* The bytes that go into a target, taken from files that the build has made (payload.h). */
	.section .rodata
	.macro blob name, file
	.global ma_payload_\name
	.global ma_payload_\name\()_end
	.balign 64
ma_payload_\name:
	.incbin "\file"
ma_payload_\name\()_end:
	.byte 0
	.endm

	blob hook_ie, hook_ie.so
	blob hook_tp, hook_tp.so
	blob boot, boot.bin
	blob fork_wait, fork_wait.bin

	.section .note.GNU-stack,"",@progbits
