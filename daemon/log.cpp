#include "daemon/log.hpp"

#include "protocol/codec.hpp"

#include <fmt/format.h>
#include <simdjson.h>
#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>

#include <sys/stat.h>
#include <unistd.h>

namespace pgcast {
namespace {

using spdlog::level::level_enum;

constexpr std::size_t k_problems = 100;

/// Where warnings and errors are kept; spdlog's lock of a sink guards it.
std::shared_ptr<spdlog::sinks::ringbuffer_sink_mt>& problems() {
  static std::shared_ptr<spdlog::sinks::ringbuffer_sink_mt> kept;
  return kept;
}

std::string_view level_name(level_enum level) {
  switch (level) {
    case level_enum::trace:
    case level_enum::debug:
      return "debug";
    case level_enum::info:
      return "info";
    case level_enum::warn:
      return "warn";
    default:
      return "error";
  }
}

/// The priorities of syslog(3), as sd-daemon(3) writes them.
std::string_view priority_prefix(level_enum level) {
  switch (level) {
    case level_enum::trace:
    case level_enum::debug:
      return "<7>";
    case level_enum::info:
      return "<6>";
    case level_enum::warn:
      return "<4>";
    case level_enum::critical:
      return "<2>";
    default:
      return "<3>";
  }
}

std::string format_time(std::int64_t time) {
  const auto seconds = static_cast<std::time_t>(time / 1'000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                     time % 1'000);
}

/// True when the standard error is the journal's socket and not, say, a file of a service's child.
bool writes_to_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat info {};
  if (stream == nullptr || fstat(STDERR_FILENO, &info) != 0) return false;
  return fmt::format("{}:{}", info.st_dev, info.st_ino) == stream;
}

class line_formatter final : public spdlog::formatter {
 public:
  explicit line_formatter(log_format format) : format_(format) {}

  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    const auto since_epoch = message.time.time_since_epoch();
    const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(since_epoch).count();
    const std::string_view text(message.payload.data(), message.payload.size());
    const auto line = format_log_line(format_, time, message.level, text) + "\n";
    out.append(line.data(), line.data() + line.size());
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<line_formatter>(format_);
  }

 private:
  log_format format_;
};

}  // namespace

std::string escape_control_characters(std::string_view text) {
  const bool is_utf8 = simdjson::validate_utf8(text.data(), text.size());
  std::string escaped;
  escaped.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F are controls, too; in UTF-8 they are 0xc2 and the code.
    const bool starts_c1 =
        is_utf8 && byte == 0xc2 && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (byte == '\n')
      escaped += "\\n";
    else if (byte == '\r')
      escaped += "\\r";
    else if (byte == '\t')
      escaped += "\\t";
    else if (starts_c1)
      escaped += fmt::format("\\u{:04x}", static_cast<unsigned char>(text[++i]));
    else if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !is_utf8))
      escaped += fmt::format("\\x{:02x}", byte);
    else
      escaped += text[i];
  }
  return escaped;
}

std::string format_log_line(log_format format, std::int64_t time, level_enum level,
                            std::string_view message) {
  const auto text = escape_control_characters(message);
  if (format == log_format::journald) return std::string(priority_prefix(level)) + text;
  if (format == log_format::text) {
    return fmt::format("{} {:5} {}", format_time(time), level_name(level), text);
  }
  return fmt::format(R"({{"time":"{}","level":"{}","message":{}}})", format_time(time),
                     level_name(level), json_quote(text));
}

log_format resolve_log_format(log_format format) {
  if (format != log_format::automatic) return format;
  if (isatty(STDERR_FILENO) == 1) return log_format::text;
  return writes_to_journal() ? log_format::journald : log_format::json;
}

void set_log_level(const std::string& level) {
  // spdlog calls the level "warning" where we, and spdlog's short form, say "warn".
  spdlog::set_level(spdlog::level::from_str(level));
}

void start_logging(log_format format, const std::string& level) {
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  sink->set_formatter(std::make_unique<line_formatter>(resolve_log_format(format)));
  problems() = std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(k_problems);
  problems()->set_level(spdlog::level::warn);
  const spdlog::sinks_init_list sinks{std::move(sink), problems()};
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("pgcast", sinks));
  set_log_level(level);
}

std::vector<log_record> recent_problems() {
  std::vector<log_record> out;
  if (!problems()) return out;
  for (const auto& m : problems()->last_raw()) {
    const std::string_view text(m.payload.data(), m.payload.size());
    out.push_back({m.time, level_name(m.level), escape_control_characters(text)});
  }
  std::reverse(out.begin(), out.end());
  return out;
}

}  // namespace pgcast
