#pragma once

#include "daemon/config.hpp"

#include <spdlog/spdlog.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// Sends everything that goes through spdlog::info() and its siblings to the standard error, one
/// line a message, in the given form:
/// - text: `2026-01-02T03:04:05.678Z info  message`, for people;
/// - json: `{"time":..,"level":..,"message":..}`, always valid JSON and UTF-8;
/// - journald: `<6>message`, the priority in the form that journald reads (sd-daemon(3));
/// - automatic: text on a terminal, journald where the standard error goes to the journal
///   (JOURNAL_STREAM, systemd.exec(5)), json otherwise (containers, files).
/// Control characters of a message are escaped, so a topic or a header cannot forge a line or
/// drive a terminal. Call once, before the first thread starts; the level may be changed later.
void start_logging(log_format format, const std::string& level);

/// A line that was logged.
struct log_record {
  std::chrono::system_clock::time_point at;
  std::string_view level;  ///< "warn" or "error", as in the log
  std::string message;     ///< escaped as in the log
};
/// The newest 100 warnings and errors since start_logging(), newest first, whatever the level of
/// the log lets through above them. Thread-safe.
std::vector<log_record> recent_problems();

/// One of the accepted values of log.level. Thread-safe.
void set_log_level(const std::string& level);

/// `format`, or what `automatic` stands for in this process.
log_format resolve_log_format(log_format format);

/// `text` on one line: CR, LF, TAB as \r, \n, \t; other control characters, and bytes that are not
/// UTF-8, as \x1b.
std::string escape_control_characters(std::string_view text);

/// One log line without its line break. `time` is in milliseconds since 1970 UTC.
std::string format_log_line(log_format format, std::int64_t time, spdlog::level::level_enum level,
                            std::string_view message);

}  // namespace pgcast
