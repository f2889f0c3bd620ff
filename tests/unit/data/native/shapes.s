# SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
# Copies of functions as compilers name them, whatever this one makes; first instructions of all kinds.

	.macro function name
	.text
	.p2align 4
	.type \name, @function
\name:
	.endm
	.macro end name
	.size \name, .-\name
	.endm

# reached from the function itself: no entry
	.globl _Z7reachedi
function _Z7reachedi
	test %edi, %edi
	je 1f
	jmp _Z7reachedi.part.0
1:	ret
end _Z7reachedi
function _Z7reachedi.part.0
	push %rbx
	mov %edi, %ebx
	pop %rbx
	ret
end _Z7reachedi.part.0

# its beginning lives in its callers only: an entry
function _Z5alonei.part.0
	push %rbx
	pop %rbx
	ret
end _Z5alonei.part.0

# the function is there, but does not lead to the part
	.globl _Z5apartv
function _Z5apartv
	push %rbx
	pop %rbx
	ret
end _Z5apartv
function _Z5apartv.part.0
	push %rbp
	pop %rbp
	ret
end _Z5apartv.part.0

	.globl _Z6coldlyi
function _Z6coldlyi
	push %rbx
	pop %rbx
	ret
end _Z6coldlyi
function _Z6coldlyi.cold
	push %rbx
	pop %rbx
	ret
end _Z6coldlyi.cold
function _Z6coldlyi.constprop.0
	push %rbx
	pop %rbx
	ret
end _Z6coldlyi.constprop.0
function _Z6coldlyi.constprop.0.cold
	push %rbx
	pop %rbx
	ret
end _Z6coldlyi.constprop.0.cold
function _Z6coldlyi.constprop.1.isra.0
	push %rbx
	pop %rbx
	ret
end _Z6coldlyi.constprop.1.isra.0
function _Z6coldlyi.lto_priv.0
	push %rbx
	pop %rbx
	ret
end _Z6coldlyi.lto_priv.0
function _Z6coldlyi.llvm.1234567890
	push %rbx
	pop %rbx
	ret
end _Z6coldlyi.llvm.1234567890

# endbr64 first, then one that the kernel emulates
function site_endbr_push
	endbr64
	push %rbx
	pop %rbx
	ret
end site_endbr_push
# the same, but something may jump behind the endbr64
function site_endbr_loop
	endbr64
1:	push %rbx
	pop %rbx
	dec %rdi
	jne 1b
	ret
end site_endbr_loop
# from another function
function site_endbr_entered
	endbr64
site_endbr_entered_inside:
	push %rbx
	pop %rbx
	ret
end site_endbr_entered
function enters
	jmp site_endbr_entered_inside
end enters
# an indirect jump may lead anywhere in the function
function site_endbr_switch
	endbr64
	push %rbx
	pop %rbx
	notrack jmp *%rax
end site_endbr_switch
# the stack pointer moves first
function site_sub
	sub $8, %rsp
	push %rbx
	pop %rbx
	add $8, %rsp
	ret
end site_sub
# an argument changes first
function site_argument
	mov %rsi, %rdi
	push %rbx
	pop %rbx
	ret
end site_argument
# a store
function site_store
	movl $1, (%rdi)
	push %rbx
	pop %rbx
	ret
end site_store
# quiet ones, then a conditional jump
function site_test
	mov %rdi, %rax
	xor %r10d, %r10d
	lea 8(%rsp), %r11
	cmpl $4, 16(%rdi)
	test %rsi, %rsi
	jne 1f
	push %rbx
	pop %rbx
1:	ret
end site_test
# a byte of an argument
function site_byte
	movb %al, %dh
	push %rbx
	pop %rbx
	ret
end site_byte
function site_xchg
	xchg %rax, %r8
	push %rbx
	pop %rbx
	ret
end site_xchg
function site_self
	nop
	jmp site_self
end site_self
function site_jump
	jmp site_sub
end site_jump
function site_push_r12
	push %r12
	pop %r12
	ret
end site_push_r12
# no instruction at all
function site_data
	.byte 0x06, 0x07, 0x0e
end site_data
	.section .note.GNU-stack,"",@progbits
