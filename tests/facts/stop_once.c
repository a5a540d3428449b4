/* SPDX-License-Identifier: MIT */
/* Stops every thread of a process and lets it go, the simple way, a number of times: stop_once PID
 * N */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static int stop_and_go(pid_t tid)
{
	int status;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL))
		return -1;
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	waitpid(tid, &status, __WALL);
	return ptrace(PTRACE_DETACH, tid, NULL, NULL) ? -1 : 0;
}

int main(int argc, char **argv)
{
	char path[64];
	int stopped = 0;

	if (argc != 3)
		return 2;
	snprintf(path, sizeof(path), "/proc/%d/task", atoi(argv[1]));
	for (int i = 0; i < atoi(argv[2]); i++) {
		DIR *tasks = opendir(path);
		const struct dirent *task;

		while (tasks && (task = readdir(tasks)))
			if (atoi(task->d_name) > 0)
				stopped += !stop_and_go(atoi(task->d_name));
		if (tasks)
			closedir(tasks);
	}
	printf("%d\n", stopped);
	return 0;
}
