#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// Times and durations of records as numbers. Records are written with TimeZone UTC and
// IntervalStyle postgres.

namespace pgcast {

/// Microseconds since 1970 of a timestamp, with or without an offset (UTC then); the extremes of
/// the type for infinity and -infinity. nullopt for what Postgres would not take.
std::optional<std::int64_t> timestamp_us(std::string_view text);

/// The other way: `2026-01-31T12:00:00.5+00:00` as to_jsonb writes it.
std::string timestamp_text(std::int64_t us);

/// extract(epoch from interval) in microseconds: a year has 365.25 days, a month that is left over
/// 30. nullopt for what is no finite interval.
std::optional<std::int64_t> interval_us(std::string_view text);

/// Microseconds as seconds, a JSON number: `12`, `0.25`, `-3.000001`.
std::string seconds_text(std::int64_t us);

}  // namespace pgcast
