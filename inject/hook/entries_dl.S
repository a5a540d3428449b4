/* SPDX-License-Identifier: MIT */
/*
 * dlopen and dlsym look at their return address: RUNPATH and RTLD_NEXT depend on who calls. So what
 * stands in front of them may not call them: it does its work, puts every argument register back,
 * and jumps. x86-64, System V ABI; no vector register is an argument here.
 */
#include "inject/hook/dl.h"

	.macro tail_stub name, before, next
	.globl	\name
	.hidden	\name
	.type	\name, @function
	.balign	16
\name:
	.cfi_startproc
	endbr64
	pushq	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	movq	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	andq	$-16, %rsp
	pushq	%rdi
	pushq	%rsi
	pushq	%rdx
	pushq	%rcx
	pushq	%r8
	pushq	%r9
	pushq	%rax
	pushq	%r10
	pushq	%r11
	subq	$8, %rsp
	call	\before
	addq	$8, %rsp
	popq	%r11
	popq	%r10
	popq	%rax
	popq	%r9
	popq	%r8
	popq	%rcx
	popq	%rdx
	popq	%rsi
	popq	%rdi
	leave
	.cfi_def_cfa %rsp, 8
	.cfi_same_value %rbp
	jmp	*ma_hook+\next(%rip)
	.cfi_endproc
	.size	\name, . - \name
	.endm

	.hidden	ma_hook
	.hidden	ma_dl_before_dlopen
	.hidden	ma_dl_before_dlsym

	.text
	tail_stub ma_dlopen_entry, ma_dl_before_dlopen, MA_HOOK_NEXT_DLOPEN
	tail_stub ma_dlsym_entry, ma_dl_before_dlsym, MA_HOOK_NEXT_DLSYM

	.section .note.GNU-stack, "", @progbits
