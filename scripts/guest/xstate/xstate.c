/*
 * xstate: lets User Mode Linux run on processors whose extended register state is larger than it knows.
 *
 * User Mode Linux sets its guest processes' floating point registers with ptrace(PTRACE_SETREGSET,
 * NT_X86_XSTATE) from a buffer whose size was fixed when it was built (2,696 bytes in Linux 6.1: everything up
 * to AVX-512 and the protection keys). The host kernel takes that call only with a buffer of the full size that
 * the processor has (xstateregs_set in arch/x86/kernel/fpu/regset.c), and with AMX that is 11,008 bytes. It
 * answers EFAULT, and the guest dies with its first process: "Attempted to kill init". Reading is not affected,
 * a short buffer gets the first part.
 *
 * This library, loaded with LD_PRELOAD, stands before ptrace() and pads a short buffer with zeros. Zeros and a
 * cleared bit in the header's feature mask mean "initial state". Nothing is lost: a guest process cannot use
 * AMX, because it needs arch_prctl(ARCH_REQ_XCOMP_PERM), which the guest's kernel does not have.
 *
 * It runs on the guest kernel's stack, which is small, so the buffers are static; the guest kernel has one
 * thread and does not preempt itself, so two calls never overlap.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

enum {
	max_state = 1 << 16,     /* larger than any state that a processor has today */
	header_mask = 512,       /* offset of XSTATE_BV, Intel SDM volume 1, section 13.4.2 */
	header_end = 576,
	known_features = 0x2ff,  /* x87, SSE, AVX, MPX, AVX-512 and PKRU: what fits into 2,696 bytes */
};

static unsigned char padded[max_state];
static size_t full_size;

static long raw(int request, pid_t pid, void *addr, void *data)
{
	return syscall(SYS_ptrace, (long)request, (long)pid, addr, data);
}

/* host_size asks once how large the host's state is: a read fills in the length that it has. */
static size_t host_size(pid_t pid)
{
	if (full_size == 0) {
		struct iovec all = { .iov_base = padded, .iov_len = sizeof(padded) };
		if (raw(PTRACE_GETREGSET, pid, (void *)(uintptr_t)NT_X86_XSTATE, &all) < 0)
			return 0;
		full_size = all.iov_len;
	}
	return full_size;
}

static long set_state(pid_t pid, const struct iovec *given)
{
	size_t want = host_size(pid), have = given->iov_len;
	struct iovec all = { .iov_base = padded, .iov_len = want };
	uint64_t features;

	if (want <= have || have < header_end)
		return raw(PTRACE_SETREGSET, pid, (void *)(uintptr_t)NT_X86_XSTATE, (void *)given);
	memcpy(padded, given->iov_base, have);
	memset(padded + have, 0, want - have);
	memcpy(&features, padded + header_mask, sizeof(features));
	features &= known_features;
	memcpy(padded + header_mask, &features, sizeof(features));
	return raw(PTRACE_SETREGSET, pid, (void *)(uintptr_t)NT_X86_XSTATE, &all);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list args;
	va_start(args, request);
	pid_t pid = va_arg(args, pid_t);
	void *addr = va_arg(args, void *);
	void *data = va_arg(args, void *);
	va_end(args);

	if (request == PTRACE_SETREGSET && (uintptr_t)addr == NT_X86_XSTATE)
		return set_state(pid, data);
	/* The system call stores what a peek reads through its last argument; the C function returns it. */
	if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
		long word, failed = raw(request, pid, addr, &word);
		return failed < 0 ? failed : word;
	}
	return raw(request, pid, addr, data);
}
