/* SPDX-License-Identifier: MIT */
/*
 * Runs a program under the restrictions that container runtimes and service managers set up:
 *
 *   confine [--capabilities] [--profile] [--kill NUMBER] [--refuse NUMBER] [--user UID]
 *           [--leave PATH] PROGRAM ...
 *
 *   --capabilities   Docker's default set, and nothing more, also after an exec as root
 *   --profile        Docker's default seccomp profile (moby, profiles/seccomp/default.json)
 *   --kill NUMBER    a filter that kills the process at that system call
 *   --refuse NUMBER  a filter that answers EPERM to that system call
 *   --user UID       that user and group, no other groups
 *   --leave PATH     unmounts the root of before (umount(8) wants a /proc for that)
 *
 * Applied in the order of runc: filters while we may still install them without no_new_privs, then
 * user and capabilities.
 */
#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	MOST_STEPS = 2048,
	LAST_OF_PROFILE = 450 /* set_mempolicy_home_node */,
	LAST_CAPABILITY = 63
};

/* The system calls of x86-64 up to LAST_OF_PROFILE that the profile does not allow to a container
 * with the default capabilities. */
static const int not_allowed[] = {
	SYS_syslog,
	SYS_uselib,
	SYS_ustat,
	SYS_sysfs,
	SYS_vhangup,
	SYS_pivot_root,
	SYS__sysctl,
	SYS_acct,
	SYS_settimeofday,
	SYS_mount,
	SYS_umount2,
	SYS_swapon,
	SYS_swapoff,
	SYS_reboot,
	SYS_sethostname,
	SYS_setdomainname,
	SYS_iopl,
	SYS_ioperm,
	SYS_create_module,
	SYS_init_module,
	SYS_delete_module,
	SYS_get_kernel_syms,
	SYS_query_module,
	SYS_quotactl,
	SYS_nfsservctl,
	SYS_getpmsg,
	SYS_putpmsg,
	SYS_afs_syscall,
	SYS_tuxcall,
	SYS_security,
	SYS_lookup_dcookie,
	SYS_clock_settime,
	SYS_vserver,
	SYS_mbind,
	SYS_set_mempolicy,
	SYS_get_mempolicy,
	SYS_kexec_load,
	SYS_add_key,
	SYS_request_key,
	SYS_keyctl,
	SYS_migrate_pages,
	SYS_unshare,
	SYS_move_pages,
	SYS_perf_event_open,
	SYS_fanotify_init,
	SYS_open_by_handle_at,
	SYS_setns,
	SYS_kcmp,
	SYS_finit_module,
	SYS_kexec_file_load,
	SYS_bpf,
	SYS_userfaultfd,
	SYS_open_tree,
	SYS_move_mount,
	SYS_fsopen,
	SYS_fsconfig,
	SYS_fsmount,
	SYS_fspick,
	438 /* pidfd_getfd */,
	440 /* process_madvise */,
	442 /* mount_setattr */,
	443 /* quotactl_fd */,
	450 /* set_mempolicy_home_node */,
};

static const int docker_capabilities[] = {
	CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FOWNER,  CAP_FSETID,           CAP_KILL,
	CAP_SETGID, CAP_SETUID,       CAP_SETPCAP, CAP_NET_RAW,          CAP_SYS_CHROOT,
	CAP_MKNOD,  CAP_AUDIT_WRITE,  CAP_SETFCAP, CAP_NET_BIND_SERVICE,
};

struct filter {
	struct sock_filter step[MOST_STEPS];
	unsigned short count;
};

static void fail(const char *what)
{
	fprintf(stderr, "confine: %s: %s\n", what, strerror(errno));
	exit(125);
}

static void add(struct filter *filter, struct sock_filter step)
{
	if (filter->count == MOST_STEPS) {
		errno = E2BIG;
		fail("the filter");
	}
	filter->step[filter->count++] = step;
}

static void add_load(struct filter *filter, size_t offset)
{
	add(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void add_answer(struct filter *filter, uint32_t answer)
{
	add(filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, answer));
}

/* If what was loaded is `value`, this answer. */
static void add_case(struct filter *filter, uint32_t value, uint32_t answer)
{
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
	add_answer(filter, answer);
}

/* What the profile says of one call depends on its first argument; the number is loaded before and
 * after. */
static void add_by_argument(struct filter *filter, uint32_t number, struct sock_filter test,
			    uint32_t if_true, uint32_t if_false)
{
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4));
	add_load(filter, offsetof(struct seccomp_data, args));
	test.jt = 0;
	test.jf = 1;
	add(filter, test);
	add_answer(filter, if_true);
	add_answer(filter, if_false);
}

static void install(const struct filter *filter)
{
	const struct sock_fprog program = {filter->count, (struct sock_filter *)filter->step};

	if (!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		fail("installing a filter");
}

static void begin(struct filter *filter, uint32_t for_other_architectures)
{
	filter->count = 0;
	add_load(filter, offsetof(struct seccomp_data, arch));
	add(filter,
	    (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
	add_answer(filter, for_other_architectures);
	add_load(filter, offsetof(struct seccomp_data, nr));
}

static int is_allowed(int number)
{
	for (size_t i = 0; i < sizeof(not_allowed) / sizeof(not_allowed[0]); i++)
		if (not_allowed[i] == number)
			return 0;
	return number != SYS_socket && number != SYS_personality && number != SYS_clone &&
	       number != SYS_clone3;
}

static void install_profile(void)
{
	static const uint32_t personalities[] = {0, 8, 0x20000, 0x20008, 0xffffffff};
	const uint32_t no = SECCOMP_RET_ERRNO | EPERM, unknown = SECCOMP_RET_ERRNO | ENOSYS;
	const uint32_t namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
				    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
	static struct filter filter;

	begin(&filter, no);
	add_by_argument(&filter, SYS_clone,
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, namespaces, 0, 0),
			no, SECCOMP_RET_ALLOW);
	add_by_argument(&filter, SYS_socket,
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 40, 0, 0), no,
			SECCOMP_RET_ALLOW);
	add_case(&filter, SYS_clone3, unknown);
	for (int number = 0; number <= LAST_OF_PROFILE; number++)
		if (is_allowed(number))
			add_case(&filter, (uint32_t)number, SECCOMP_RET_ALLOW);
	add(&filter,
	    (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, LAST_OF_PROFILE, 0, 1));
	add_answer(&filter, unknown);
	add(&filter,
	    (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_personality, 1, 0));
	add_answer(&filter, no);
	add_load(&filter, offsetof(struct seccomp_data, args));
	for (size_t i = 0; i < sizeof(personalities) / sizeof(personalities[0]); i++)
		add_case(&filter, personalities[i], SECCOMP_RET_ALLOW);
	add_answer(&filter, no);
	install(&filter);
}

static void install_one(const char *number, uint32_t answer)
{
	static struct filter filter;

	begin(&filter, SECCOMP_RET_ALLOW);
	add_case(&filter, (uint32_t)strtoul(number, NULL, 10), answer);
	add_answer(&filter, SECCOMP_RET_ALLOW);
	install(&filter);
}

static void leave(const char *path)
{
	if (umount2(path, MNT_DETACH))
		fail("leaving the old root");
}

static void become(const char *user)
{
	unsigned int id = (unsigned int)strtoul(user, NULL, 10);

	if (setgroups(0, NULL) || setresgid(id, id, id) || setresuid(id, id, id))
		fail("changing the user");
}

static void keep_capabilities(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {0};
	uint64_t kept = 0;

	for (size_t i = 0; i < sizeof(docker_capabilities) / sizeof(docker_capabilities[0]); i++)
		kept |= UINT64_C(1) << docker_capabilities[i];
	for (unsigned long i = 0; i <= LAST_CAPABILITY; i++)
		if (!(kept >> i & 1) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) && errno != EINVAL)
			fail("dropping capabilities");
	if (syscall(SYS_capget, &header, data))
		fail("reading capabilities");
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(kept >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data))
		fail("setting capabilities");
}

int main(int count, char **words)
{
	int capabilities = 0, profile = 0, i = 1;
	const char *user = NULL;

	for (; i < count && !strncmp(words[i], "--", 2); i++) {
		if (!strcmp(words[i], "--capabilities"))
			capabilities = 1;
		else if (!strcmp(words[i], "--profile"))
			profile = 1;
		else if (!strcmp(words[i], "--kill") && i + 1 < count)
			install_one(words[++i], SECCOMP_RET_KILL_PROCESS);
		else if (!strcmp(words[i], "--refuse") && i + 1 < count)
			install_one(words[++i], SECCOMP_RET_ERRNO | EPERM);
		else if (!strcmp(words[i], "--leave") && i + 1 < count)
			leave(words[++i]);
		else if (!strcmp(words[i], "--user") && i + 1 < count)
			user = words[++i];
		else
			break;
	}
	if (i == count || !strncmp(words[i], "--", 2)) {
		fprintf(stderr, "confine: what is to be run?\n");
		return 125;
	}
	if (profile)
		install_profile();
	if (capabilities)
		keep_capabilities();
	if (user)
		become(user);
	execvp(words[i], words + i);
	fail(words[i]);
}
