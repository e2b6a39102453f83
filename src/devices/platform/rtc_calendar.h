/* SPDX-License-Identifier: Apache-2.0 */
/* Calendar arithmetic for the real-time clock; any field values are taken and normalised. */
#ifndef LODGE_DEVICES_PLATFORM_RTC_CALENDAR_H
#define LODGE_DEVICES_PLATFORM_RTC_CALENDAR_H

#include "base/compiler.h"

struct rtc_date {
	unsigned year, month, day; /* 1..12, 1..31 */
	unsigned hour, minute, second;
	unsigned weekday;          /* 0: Sunday; ignored as input */
};

#define RTC_DAYS_PER_ERA 146097u  /* 400 years */
#define RTC_EPOCH_DAYS 719468u    /* 1970-01-01 counted from 0000-03-01 */

/* Years begin in March here, so that the leap day is the last. */
static inline uint64_t rtc_date_to_seconds(const struct rtc_date *d)
{
	unsigned month = d->month >= 1 && d->month <= 12 ? d->month : 1;
	unsigned day = d->day >= 1 && d->day <= 31 ? d->day : 1;
	uint64_t year = MAX(d->year, 1970u) - (month <= 2 ? 1u : 0u);
	uint64_t year_of_era = year % 400;
	uint64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	uint64_t days = year / 400 * RTC_DAYS_PER_ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
	uint64_t seconds = (days - RTC_EPOCH_DAYS) * 86400;

	return seconds + d->hour % 24 * 3600 + d->minute % 60 * 60 + d->second % 60;
}

static inline struct rtc_date rtc_date_from_seconds(uint64_t seconds)
{
	uint64_t days = seconds / 86400 + RTC_EPOCH_DAYS, era = days / RTC_DAYS_PER_ERA, day_of_era = days % RTC_DAYS_PER_ERA;
	uint64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint64_t march_month = (5 * day_of_year + 2) / 153;
	unsigned month = (unsigned)(march_month < 10 ? march_month + 3 : march_month - 9);

	return (struct rtc_date){
		.year = (unsigned)(year_of_era + era * 400) + (month <= 2 ? 1u : 0u),
		.month = month,
		.day = (unsigned)(day_of_year - (153 * march_month + 2) / 5 + 1),
		.hour = (unsigned)(seconds / 3600 % 24),
		.minute = (unsigned)(seconds / 60 % 60),
		.second = (unsigned)(seconds % 60),
		.weekday = (unsigned)((seconds / 86400 + 4) % 7),
	};
}

#endif
