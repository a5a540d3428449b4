/* SPDX-License-Identifier: MIT */
/* See child_process.h. */
#include "child_process.h"

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child: pipes onto 0 and 1, and no life beyond the test's. */
static void settle(const int input[2], const int output[2])
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(input[0], 0);
	dup2(output[1], 1);
	close(input[0]);
	close(input[1]);
	close(output[0]);
	close(output[1]);
}

static pid_t fork_with_pipes(struct child *child)
{
	int input[2], output[2];
	if (pipe2(input, O_CLOEXEC) || pipe2(output, O_CLOEXEC))
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		settle(input, output);
		return 0;
	}
	close(input[0]);
	close(output[1]);
	*child = (struct child){.pid = pid, .input = input[1], .output = output[0]};
	return pid;
}

int child_start(struct child *child, const char *root, const char *const argv[])
{
	pid_t pid = fork_with_pipes(child);
	if (pid)
		return pid < 0 ? -1 : 0;
	if (root && (chroot(root) || chdir("/")))
		_exit(126);
	execv(argv[0], (char *const *)argv);
	_exit(127);
}

int child_fork(struct child *child, int (*run)(void *), void *context)
{
	pid_t pid = fork_with_pipes(child);
	if (pid)
		return pid < 0 ? -1 : 0;
	int status = run(context);
	char byte;
	if (write(1, "ready\n", 6) != 6 || read(0, &byte, 1) < 0)
		_exit(125);
	_exit(status);
}

const char *child_line(struct child *child, char *line, size_t room)
{
	size_t used = 0;
	while (used + 1 < room && read(child->output, line + used, 1) == 1) {
		if (line[used] == '\n')
			break;
		used++;
	}
	line[used] = '\0';
	return line;
}

void child_wait_zombie(struct child *child)
{
	siginfo_t info;
	waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT);
}

void child_end(struct child *child)
{
	if (child->pid <= 0)
		return;
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	close(child->input);
	close(child->output);
	child->pid = 0;
}

static int add_matches(const char *root, const char *pattern, struct python *pythons, int count)
{
	char full[512];
	glob_t found;
	snprintf(full, sizeof full, "%s%s", root, pattern);
	if (glob(full, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc && count < MAX_PYTHONS; i++) {
			if (access(found.gl_pathv[i], X_OK))
				continue;
			snprintf(pythons[count].program, sizeof pythons[count].program, "%s",
				 found.gl_pathv[i] + strlen(root));
			snprintf(pythons[count].root, sizeof pythons[count].root, "%s", root);
			count++;
		}
	}
	globfree(&found);
	return count;
}

int python_list(struct python pythons[MAX_PYTHONS])
{
	const char *pyenv = getenv("PYENV_ROOT"), *home = getenv("HOME");
	const char *tree = getenv("MEMATTACH_PYTHON_TREE");
	char pattern[300];
	if (pyenv)
		snprintf(pattern, sizeof pattern, "%s/versions/*/bin/python", pyenv);
	else
		snprintf(pattern, sizeof pattern, "%s/.pyenv/versions/*/bin/python",
			 home ? home : "/root");
	int count = add_matches("", pattern, pythons, 0);
	count = add_matches("", "/usr/bin/python3", pythons, count);
	if (geteuid() == 0)
		count = add_matches(tree ? tree : "/var/cache/memattach/sid",
				    "/usr/bin/python3.[0-9]*[0-9]", pythons, count);
	return count;
}

int python_start(const struct python *python, struct child *child, char *release, size_t room)
{
	const char *const argv[] = {
		python->program, "-c",
		"import sys; print(sys.version.split()[0]); sys.stdout.flush(); sys.stdin.read()",
		NULL};
	if (child_start(child, python->root[0] ? python->root : NULL, argv))
		return -1;
	child_line(child, release, room);
	if (!release[0]) {
		child_end(child);
		return -1;
	}
	return 0;
}
