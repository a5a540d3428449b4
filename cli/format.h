/* SPDX-License-Identifier: MIT */
/* Figures as people read them: binary sizes, counts, times, durations, shares. */
#ifndef MA_CLI_FORMAT_H
#define MA_CLI_FORMAT_H

#include <stddef.h>
#include <stdint.h>

/* Room for any figure below. */
struct ma_figure {
	char text[32];
};

/* Binary units of sizes: 0 = B, 1 = KiB, ... 6 = EiB. */
enum { MA_FORMAT_UNITS = 7 };

/* "28.4 MiB": three digits. Negative and NaN read as "0". */
struct ma_figure ma_format_size(double bytes);
/* "64 KiB": the same without decimals that are 0, for settings. */
struct ma_figure ma_format_setting(double bytes);
/* The unit that ma_format_size chooses, and a size in a given unit: "1.71". */
unsigned ma_format_size_unit(double bytes);
struct ma_figure ma_format_size_in(double bytes, unsigned unit);
/* A second size in the unit and with the decimals of the first, without the unit: "2.6" beside
 * "28.4 MiB"; with a unit of its own beside 0, which has none. */
struct ma_figure ma_format_size_beside(double bytes, double first_bytes);
/* "38.2 ±2.8 MiB": both in the unit of the value; "38.2 MiB" when plus_minus is 0. */
struct ma_figure ma_format_size_interval(double bytes, double plus_minus);
/* "+3.1 MiB/s", "-12 KiB/s". */
struct ma_figure ma_format_rate(double bytes_per_second);
/* "812", "9.1k", "412k", "1.23M". */
struct ma_figure ma_format_count(double count);
/* "1.4 %", "95 %", "0.02 %"; "< 0.01 %" for less. */
struct ma_figure ma_format_share(double ratio);
/* "210 us", "6 ms", "10 s", "2 min 5 s", "2 h 3 min", "6 d 2 h". */
struct ma_figure ma_format_duration_us(double microseconds);
/* Local time: "14:03:02", with the date in front when it is not the day of now_ns. */
struct ma_figure ma_format_clock(uint64_t realtime_ns, uint64_t now_ns);
/* "2024-05-01T14:03:02.123Z", for JSON. */
struct ma_figure ma_format_iso(uint64_t realtime_ns);

/* The clock that the above compare with: CLOCK_REALTIME. */
uint64_t ma_format_now_ns(void);

#endif
