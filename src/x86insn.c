/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "x86insn.h"

#include <string.h>

/*
 * What follows an opcode:
 *   .  nothing         m  ModRM            b  8 bits             z  32 bits (16 after 66)
 *   M  ModRM, 8 bits   Z  ModRM, 32 (16)   w  16 bits            e  16 and 8 bits
 *   v  32 bits (16 after 66, 64 after REX.W)                     o  an address of 64 bits
 *   j  jump of 8 bits  J  jump of 32 bits  g, G  ModRM, and 8 or 32 bits if its field reg is 0 or 1
 *   p  a prefix, R REX, 0 the next map, V, W VEX, E EVEX         x  none of ours
 */
static const char rt_map1[257] =
	"mmmmbzxxmmmmbzx0"  /* 00 */
	"mmmmbzxxmmmmbzxx"  /* 10 */
	"mmmmbzpxmmmmbzpx"  /* 20 */
	"mmmmbzpxmmmmbzpx"  /* 30 */
	"RRRRRRRRRRRRRRRR"  /* 40 */
	"................"  /* 50 */
	"xxEmppppzZbM...."  /* 60 */
	"jjjjjjjjjjjjjjjj"  /* 70 */
	"MZxMmmmmmmmmmmmm"  /* 80 */
	"..........x....."  /* 90 */
	"oooo....bz......"  /* a0 */
	"bbbbbbbbvvvvvvvv"  /* b0 */
	"MMw.VWMZe.w..bx."  /* c0 */
	"mmmmxxx.mmmmmmmm"  /* d0 */
	"jjjjbbbbJJxj...."  /* e0 */
	"p.pp..gG......mm"; /* f0 */

static const char rt_map2[257] =
	"mmmmx.....x.xm.x"  /* 00 */
	"mmmmmmmmmmmmmmmm"  /* 10 */
	"xxxxxxxxmmmmmmmm"  /* 20 */
	"......x.0x0xxxxx"  /* 30 */
	"mmmmmmmmmmmmmmmm"  /* 40 */
	"mmmmmmmmmmmmmmmm"  /* 50 */
	"mmmmmmmmmmmmmmmm"  /* 60 */
	"MMMMmmm.xxxxmmmm"  /* 70 */
	"JJJJJJJJJJJJJJJJ"  /* 80 */
	"mmmmmmmmmmmmmmmm"  /* 90 */
	"...mMmxx...mMmmm"  /* a0 */
	"mmmmmmmmmmMmmmmm"  /* b0 */
	"mmMmMMMm........"  /* c0 */
	"mmmmmmmmmmmmmmmm"  /* d0 */
	"mmmmmmmmmmmmmmmm"  /* e0 */
	"mmmmmmmmmmmmmmmm"; /* f0 */

struct rt_x86_parts {
	const uint8_t *bytes;
	size_t avail, at;
	bool data16, addr32, lock, rep, segment; /* prefixes 66; 67; f0; f2, f3; 26, 2e, 36, 3e, 64, 65 */
	uint8_t rex;
	uint8_t map; /* 1: one byte; 2: 0f; 3: 0f 38; 4: 0f 3a; 0: VEX or EVEX */
	uint8_t opcode;
	char form;
	bool has_modrm;
	uint8_t modrm;
	size_t imm_at, imm_len;
};

static bool rt_x86_byte(struct rt_x86_parts *p, uint8_t *byte)
{
	if (p->at >= p->avail || p->at >= RT_X86_MAX)
		return false;
	*byte = p->bytes[p->at++];
	return true;
}

static void rt_x86_prefix(struct rt_x86_parts *p, uint8_t byte)
{
	p->data16 |= byte == 0x66;
	p->addr32 |= byte == 0x67;
	p->lock |= byte == 0xf0;
	p->rep |= byte == 0xf2 || byte == 0xf3;
	p->segment |= byte != 0x66 && byte != 0x67 && byte < 0xf0;
}

/* The forms of VEX and EVEX instructions follow from their map and opcode as those of the maps 0f, 0f 38 and 0f 3a. */
static bool rt_x86_vector_form(struct rt_x86_parts *p, uint8_t map)
{
	if (!rt_x86_byte(p, &p->opcode))
		return false;
	p->map = 0;
	if (map == 1)
		p->form = p->opcode >= 0x78 && p->opcode <= 0x7b ? 'm' : rt_map2[p->opcode];
	else
		p->form = map == 3 ? 'M' : 'm';
	return map == 1 ? p->form == 'm' || p->form == 'M' || p->opcode == 0x77 : map == 2 || map == 3 || map == 5 || map == 6;
}

static bool rt_x86_vector(struct rt_x86_parts *p, char form)
{
	uint8_t a = 0, b = 0, c = 0;

	if (p->data16 || p->rep || p->lock || p->rex || !rt_x86_byte(p, &a))
		return false;
	if (form == 'W') /* c5 */
		return rt_x86_vector_form(p, 1);
	if (!rt_x86_byte(p, &b))
		return false;
	if (form == 'V') /* c4; its maps are 1 to 3 */
		return (a & 0x1f) <= 3 && rt_x86_vector_form(p, a & 0x1f);
	/* 62: reserved bits are 0 and 1 (before APX, which is not known here) */
	return rt_x86_byte(p, &c) && !(a & 8) && (b & 4) && rt_x86_vector_form(p, a & 7);
}

/* Prefixes and opcode: sets map, opcode and form. */
static bool rt_x86_opcode(struct rt_x86_parts *p)
{
	uint8_t byte;

	for (;;) {
		if (!rt_x86_byte(p, &byte))
			return false;
		p->form = rt_map1[byte];
		if (p->form == 'p' && !p->rex)
			rt_x86_prefix(p, byte);
		else if (p->form == 'R' && !p->rex)
			p->rex = byte;
		else
			break;
	}
	p->map = 1;
	p->opcode = byte;
	if (p->form == 'V' || p->form == 'W' || p->form == 'E')
		return rt_x86_vector(p, p->form);
	if (p->form != '0')
		return p->form != 'x' && p->form != 'p' && p->form != 'R';
	if (!rt_x86_byte(p, &p->opcode))
		return false;
	p->map = 2;
	p->form = rt_map2[p->opcode];
	if (p->form != '0')
		return p->form != 'x';
	p->map = p->opcode == 0x38 ? 3 : 4;
	p->form = p->map == 3 ? 'm' : 'M';
	return rt_x86_byte(p, &p->opcode);
}

/* ModRM with what belongs to it. */
static bool rt_x86_modrm(struct rt_x86_parts *p)
{
	uint8_t sib = 0, mod, rm;
	size_t disp;

	if (!rt_x86_byte(p, &p->modrm))
		return false;
	p->has_modrm = true;
	mod = p->modrm >> 6;
	rm = p->modrm & 7;
	if (mod == 3)
		return true;
	if (rm == 4 && !rt_x86_byte(p, &sib))
		return false;
	disp = mod == 1 ? 1 : mod == 2 ? 4 : rm == 5 || (rm == 4 && (sib & 7) == 5) ? 4 : 0;
	p->at += disp;
	return p->at <= p->avail;
}

/* Bytes behind opcode and ModRM. */
static size_t rt_x86_immediate(const struct rt_x86_parts *p)
{
	/* REX.W overrules 66 */
	size_t z = p->data16 && !(p->rex & 8) ? 2 : 4;
	bool test = p->has_modrm && (p->modrm >> 3 & 7) < 2;

	switch (p->form) {
	case 'b':
	case 'M':
	case 'j':
		return 1;
	case 'z':
	case 'Z':
		return z;
	case 'w':
		return 2;
	case 'e':
		return 3;
	case 'v':
		return p->rex & 8 ? 8 : z;
	case 'o':
		return p->addr32 ? 4 : 8;
	case 'J':
		return 4;
	case 'g':
		return test ? 1 : 0;
	case 'G':
		return test ? z : 0;
	}
	return 0;
}

static bool rt_x86_parse(struct rt_x86_parts *p)
{
	uint8_t reg;

	if (!rt_x86_opcode(p))
		return false;
	if (strchr("mMZgG", p->form) && !rt_x86_modrm(p))
		return false;
	reg = p->modrm >> 3 & 7;
	/* pop, and XOP's prefix; mov, xabort and xbegin (a jump) */
	if (p->map == 1 && (p->opcode == 0x8f || p->opcode == 0xc6 || p->opcode == 0xc7) && reg)
		return false;
	if ((p->form == 'j' || p->form == 'J') && p->data16)
		return false;
	p->imm_at = p->at;
	p->imm_len = rt_x86_immediate(p);
	p->at += p->imm_len;
	return p->at <= p->avail && p->at <= RT_X86_MAX;
}

static void rt_x86_set_flow(const struct rt_x86_parts *p, struct rt_x86_insn *insn)
{
	uint8_t reg = p->modrm >> 3 & 7;

	if (p->form == 'j' || p->form == 'J') {
		insn->flow = p->opcode == 0xe8 && p->map == 1 ? RT_X86_CALL : RT_X86_JUMP;
		if (p->form == 'j')
			insn->rel = (int8_t)p->bytes[p->imm_at];
		else
			memcpy(&insn->rel, p->bytes + p->imm_at, sizeof(insn->rel));
	} else if (p->map == 1 && p->opcode == 0xff && (reg == 4 || reg == 5)) {
		insn->flow = RT_X86_INDIRECT;
	} else if (p->map == 1 && (p->opcode == 0xc2 || p->opcode == 0xc3 || p->opcode == 0xca || p->opcode == 0xcb || p->opcode == 0xcf)) {
		insn->flow = RT_X86_RETURN;
	}
}

/* What Linux emulates at a uprobe instead of a single step (arch/x86/kernel/uprobes.c: branch_setup_xol_ops, push_setup_xol_ops since 4.19): near jumps and calls to a
 * target in the instruction, nop with any prefix, push of a register with no prefix but REX.B. Later kernels emulate more (5-byte nop: 6.18). */
static bool rt_x86_emulated(const struct rt_x86_parts *p, const struct rt_x86_insn *insn)
{
	bool plain = !p->data16 && !p->addr32 && !p->lock && !p->rep && !p->segment;

	if (insn->flow == RT_X86_CALL || insn->flow == RT_X86_JUMP) /* loop and jrcxz are not */
		return plain && !p->rex && !(p->map == 1 && p->opcode >= 0xe0 && p->opcode <= 0xe3);
	if (p->map != 1)
		return false;
	if (p->opcode == 0x90)
		return !p->rex && !p->addr32 && !p->lock && !p->rep && !p->segment;
	return plain && p->opcode >= 0x50 && p->opcode <= 0x57 && (!p->rex || p->rex == 0x41);
}

/* %rsp, %rdi, %rsi, %rdx, %rcx, %r8, %r9 by their numbers: x86-64 psABI, section 3.2.3 */
static bool rt_x86_protected(unsigned int reg)
{
	return reg == 4 || reg == 7 || reg == 6 || reg == 2 || reg == 1 || reg == 8 || reg == 9;
}

/* A list of what is known to be harmless, all else is not. Registers of 8 bits (without REX, number 4 to 7 are parts of the first four) and of 16 are left out. */
static bool rt_x86_quiet(const struct rt_x86_parts *p)
{
	unsigned int reg = (p->modrm >> 3 & 7) | (p->rex & 4) << 1, rm = (p->modrm & 7) | (p->rex & 1) << 3;
	bool direct = p->modrm >> 6 == 3;
	uint8_t op = p->opcode;

	if (p->lock || p->addr32 || p->data16)
		return !p->lock && ((p->map == 1 && op == 0x90 && !p->rex) || (p->map == 2 && op == 0x1f && !(reg & 7))); /* nop */
	if (p->rep)
		return false;
	if (p->map == 2) {
		if (op == 0x1f)
			return !(reg & 7);
		return (op == 0xb6 || op == 0xb7 || op == 0xbe || op == 0xbf) && !rt_x86_protected(reg); /* movzx, movsx */
	}
	if (p->map != 1)
		return false;
	if (op == 0x90)
		return !p->rex;
	if (op == 0x84 || op == 0x85 || (op >= 0x38 && op <= 0x3d) || op == 0xa8 || op == 0xa9) /* test, cmp */
		return true;
	if (op == 0x80 || op == 0x81 || op == 0x83)
		return (reg & 7) == 7;
	if (op == 0xf6 || op == 0xf7)
		return (reg & 7) == 0;
	if (op == 0x89 || op == 0x31) /* mov, xor */
		return direct && !rt_x86_protected(rm);
	if (op == 0x8b || op == 0x8d || op == 0x63 || op == 0x03 || op == 0x0b || op == 0x23 || op == 0x2b || op == 0x33)
		return !rt_x86_protected(reg) && !(op == 0x8d && direct); /* mov, lea, movsxd, add, or, and, sub, xor into a register */
	return op >= 0xb8 && op <= 0xbf && !rt_x86_protected((op & 7) | (p->rex & 1) << 3); /* mov of an immediate */
}

/* Does endbr64 stand there? */
static bool rt_x86_is_endbr(const uint8_t *bytes, size_t avail)
{
	static const uint8_t endbr64[4] = {0xf3, 0x0f, 0x1e, 0xfa};

	return avail >= sizeof(endbr64) && !memcmp(bytes, endbr64, sizeof(endbr64));
}

bool rt_x86_decode(const uint8_t *bytes, size_t avail, struct rt_x86_insn *insn)
{
	struct rt_x86_parts p = {.bytes = bytes, .avail = avail};
	struct rt_x86_insn out = {0};

	if (!rt_x86_parse(&p))
		return false;
	out.len = (uint8_t)p.at;
	rt_x86_set_flow(&p, &out);
	out.emulated = rt_x86_emulated(&p, &out);
	out.quiet = out.flow == RT_X86_NEXT && (rt_x86_is_endbr(bytes, avail) || rt_x86_quiet(&p));
	*insn = out;
	return true;
}
