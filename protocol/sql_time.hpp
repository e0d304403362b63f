#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Times and durations of records as numbers. Records are written with TimeZone UTC and
// IntervalStyle postgres.

namespace pgcast {

/// Microseconds since 2000 of a timestamp, as Postgres counts them, with or without an offset (UTC
/// then); the extremes of the type for infinity and -infinity. nullopt for what Postgres would not
/// take.
std::optional<std::int64_t> timestamp_us(std::string_view text);

/// The other way: `2026-01-31T12:00:00.5+00:00` as to_jsonb writes it.
std::string timestamp_text(std::int64_t us);

/// A moment of the daemon's clock in these microseconds, and as such a text.
std::int64_t timestamp_us_of(std::chrono::system_clock::time_point at);
std::string time_text(std::chrono::system_clock::time_point at);

/// Microseconds of intervals and of their sums: the longest interval, 178,000,000 years, is six
/// hundred times what 64 bits hold.
using wide_us = __int128;

/// extract(epoch from interval) in microseconds: a year has 365.25 days, a month that is left over
/// 30. nullopt for what is no finite interval.
std::optional<wide_us> interval_us(std::string_view text);

/// Microseconds as seconds, a JSON number: `12`, `0.25`, `-3.000001`.
std::string seconds_text(wide_us us);

/// The whole number of microseconds that `digits` say, a sign before them allowed; 0 of "".
wide_us wide_us_of(std::string_view digits);

}  // namespace pgcast
