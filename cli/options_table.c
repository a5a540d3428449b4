/* SPDX-License-Identifier: MIT */
/* Every option of every command: what it is called, what it takes, who understands it. */
#include "cli/options.h"

#define BIT(command) (1u << MA_COMMAND_##command)

enum {
	ALL = (1u << MA_COMMANDS) - 1,
	ATTACHING = BIT(SUMMARY) | BIT(LIVE) | BIT(ATTACH) | BIT(DUMP),
	TAKING_PIDS = ALL & ~(BIT(PS) | BIT(DAEMON)),
};

#define FIELD(name) offsetof(struct ma_options, name)

// clang-format off
const struct ma_option ma_options_table[] = {
	{"pid", 'p', MA_OPTION_PID, "PID", 0, TAKING_PIDS,
	 "the same as a bare PID"},
	{"children", 0, MA_OPTION_FLAG, NULL, FIELD(children),
	 BIT(SUMMARY) | BIT(ATTACH) | BIT(DETACH),
	 "the Python children of each PID too, and theirs"},
	{"all", 0, MA_OPTION_FLAG, NULL, FIELD(all), BIT(DETACH),
	 "everything that is attached"},
	{"forget", 0, MA_OPTION_FLAG, NULL, FIELD(forget), BIT(DETACH),
	 "also forget the last state of processes that ended"},
	{"sample", 0, MA_OPTION_SAMPLE, "SIZE|exact|CLASSES", FIELD(sample), ATTACHING,
	 "one sample in SIZE bytes on average (4KiB to 64MiB), and keep to it; exact: every "
	 "allocation; by size as in '{128: 1e-4, 8192: 0.1}': those below 128 bytes with this "
	 "chance, then those below 8192, and all larger ones (default: 64KiB, steered to keep "
	 "--overhead)"},
	{"overhead", 0, MA_OPTION_PERCENT, "P", FIELD(overhead_ratio), ATTACHING,
	 "what the tracking may cost the process (default: 2%)"},
	{"wait", 0, MA_OPTION_DURATION, "T", FIELD(wait_ms), BIT(SUMMARY) | BIT(DUMP),
	 "watch until T after the attach, as in 30s, 5m (default: 10s); 0: take what is known"},
	{"live", 0, MA_OPTION_FLAG, NULL, FIELD(live), BIT(SUMMARY) | BIT(LIVE),
	 "watch it on the full screen, as `memattach live` does"},
	{"interval", 0, MA_OPTION_DURATION, "T", FIELD(interval_ms),
	 BIT(LIVE) | BIT(STACKS),
	 "a new picture every T (default: live 500ms on a screen, else 2s; stacks 1s)"},
	{"repeat", 0, MA_OPTION_COUNT, "N", FIELD(repeat), BIT(STACKS),
	 "take N pictures, one every --interval; with --json each is a line"},
	{"native", 0, MA_OPTION_FLAG, NULL, FIELD(native), ATTACHING,
	 "native stacks, with --sample exact too (default: in every other mode)"},
	{"no-native", 0, MA_OPTION_FLAG, NULL, FIELD(no_native), ATTACHING | BIT(STACKS),
	 "Python frames only"},
	{"debuginfod", 0, MA_OPTION_FLAG, NULL, FIELD(debuginfod), ATTACHING,
	 "fetch debug files that are not here from the servers in DEBUGINFOD_URLS (dynamic build "
	 "only)"},
	{"once", 0, MA_OPTION_FLAG, NULL, FIELD(once), BIT(SUMMARY) | BIT(LIVE) | BIT(DUMP),
	 "detach when done"},
	{"duration", 0, MA_OPTION_DURATION, "T", FIELD(duration_ms),
	 BIT(SUMMARY) | BIT(LIVE) | BIT(ATTACH),
	 "stay for T, then detach"},
	{"keep", 0, MA_OPTION_FLAG, NULL, FIELD(keep), ATTACHING,
	 "track until detached, even if nobody asks for 24 h"},
	{"force", 0, MA_OPTION_FLAG, NULL, FIELD(force), ATTACHING,
	 "attach although memory is short, or another daemon serves it"},
	{"trust-seccomp", 0, MA_OPTION_FLAG, NULL, FIELD(trust_seccomp), ATTACHING,
	 "attach although a seccomp filter could not be judged; it may kill the process"},
	{"top", 'n', MA_OPTION_COUNT, "N", FIELD(top), BIT(SUMMARY) | BIT(LIVE),
	 "how many sites to print (default: 10)"},
	{"output", 'o', MA_OPTION_TEXT, "FILE", FIELD(output), BIT(DUMP),
	 "write to FILE, whole or not at all"},
	{"idle", 0, MA_OPTION_DURATION, "T", FIELD(idle_ms), BIT(DAEMON),
	 "leave after T without sessions and clients (default: never)"},
	{"log", 0, MA_OPTION_TEXT, "FILE", FIELD(log), BIT(DAEMON),
	 "write the log to FILE (default: stderr)"},
	{"stop", 0, MA_OPTION_FLAG, NULL, FIELD(stop), BIT(DAEMON),
	 "end the daemon that runs; attached processes go on, their tracking is lost"},
	{"json", 0, MA_OPTION_FLAG, NULL, FIELD(json), ALL,
	 "print JSON (docs/json.md) on stdout"},
	{"quiet", 'q', MA_OPTION_FLAG, NULL, FIELD(quiet), ALL,
	 "no progress and no notices"},
	{"verbose", 'v', MA_OPTION_FLAG, NULL, FIELD(verbose), ALL,
	 "say more about what is done"},
	{"color", 0, MA_OPTION_COLOR, "auto|always|never", FIELD(color), ALL,
	 "colours on a terminal (auto; NO_COLOR is honoured), always or never"},
	{"help", 'h', MA_OPTION_FLAG, NULL, FIELD(help), ALL,
	 "print this help"},
	{"version", 'V', MA_OPTION_FLAG, NULL, FIELD(version), ALL,
	 "print the version"},
};
// clang-format on

const size_t ma_options_table_count = sizeof ma_options_table / sizeof ma_options_table[0];
