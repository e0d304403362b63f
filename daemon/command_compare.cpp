#include "daemon/commands.hpp"
#include "daemon/compared_server.hpp"
#include "daemon/comparison_report.hpp"
#include "daemon/config_text.hpp"
#include "daemon/log.hpp"
#include "daemon/server_address.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>

#include <array>
#include <csignal>
#include <cstdio>
#include <optional>
#include <utility>

#include <sysexits.h>
#include <unistd.h>

namespace pgcast {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;
using news = compared_server::news;

constexpr auto k_subscribe_limit = 30s;
constexpr auto k_settle = 2s;  // after both are subscribed
constexpr auto k_grace = 10s;  // for what is on its way at the end
constexpr auto k_tick = 50ms;
constexpr std::size_t k_most_unmatched = 100'000;
constexpr std::size_t k_named_missed = 10;
constexpr int k_missed = 1;  // the exit code

error unusable(std::string sentence) { return {errc::config_invalid, std::move(sentence)}; }

result<std::vector<table_filter>> filters_of(const compare_options& options) {
  if (options.tables.empty()) {
    if (options.filter.empty()) return std::vector<table_filter>(1);
    return unusable("--filter needs a --table that it is for");
  }
  std::vector<table_filter> filters;
  for (const auto& table : options.tables) {
    const auto dot = table.find('.');
    if (dot == std::string::npos || dot == 0 || dot + 1 == table.size()) {
      return unusable("--table " + table + " names no schema; write it as schema.table");
    }
    filters.push_back({table.substr(0, dot), table.substr(dot + 1), options.filter});
  }
  return filters;
}

/// Runs from the first connection to the last straggler, on the thread that makes it; the servers'
/// threads only post what they hear.
class comparison_run {
 public:
  comparison_run(std::chrono::milliseconds time, compared_server::settings ours,
                 compared_server::settings theirs)
      : time_(time) {
    servers_[0].settings = std::move(ours);
    servers_[1].settings = std::move(theirs);
  }

  /// The report, or why there is none; then exit_code() is set.
  std::optional<comparison_report> run();
  int exit_code() const { return exit_code_; }

 private:
  enum class phase { joining, settling, counting, closing, over };

  struct server {
    compared_server::settings settings;
    std::optional<compared_server> running;
    bool is_subscribed = false;
    std::size_t drops = 0;
    std::string last_warning;
  };

  server& at(side of) { return servers_[static_cast<std::size_t>(of)]; }
  void hear(side from, const news& heard);
  void advance();
  void enter(phase next);
  void fail(int exit_code, const std::string& sentence);
  void interrupt();
  void show_progress();
  void say(const std::string& sentence);

  const std::chrono::milliseconds time_;
  boost::asio::io_context loop_{1};
  boost::asio::signal_set signals_{loop_, SIGINT, SIGTERM};
  phase phase_ = phase::joining;
  clock::time_point began_ = clock::now();
  clock::time_point entered_ = began_;  // the phase
  clock::time_point shown_ = began_;
  clock::duration counted_{0};
  bool has_forgotten_ = false;
  bool has_progress_line_ = false;
  change_comparison comparison_{k_most_unmatched};
  int exit_code_ = EX_OK;
  std::array<server, 2> servers_;  // last: their threads post to the loop
};

std::optional<comparison_report> comparison_run::run() {
  interrupt();
  for (const auto of : {side::ours, side::theirs}) {
    at(of).running.emplace(at(of).settings, [this, of](news heard) {
      boost::asio::post(loop_, [this, of, heard = std::move(heard)] { hear(of, heard); });
    });
  }
  while (phase_ != phase::over) {
    loop_.run_for(k_tick);
    advance();
  }
  for (auto& one : servers_) one.running.reset();
  if (exit_code_ != EX_OK) return std::nullopt;
  comparison_report report;
  report.figures = comparison_.finish(k_named_missed);
  report.ours = {at(side::ours).settings.where.name(), at(side::ours).drops};
  report.theirs = {at(side::theirs).settings.where.name(), at(side::theirs).drops};
  report.counted = std::chrono::duration_cast<std::chrono::milliseconds>(counted_);
  report.is_cut_short = comparison_.is_full();
  return report;
}

/// Ctrl-C ends the counting; the second time also the wait for stragglers.
void comparison_run::interrupt() {
  signals_.async_wait([this](boost::system::error_code failure, int) {
    if (failure) return;
    if (phase_ == phase::counting) {
      enter(phase::closing);
    } else if (phase_ == phase::closing) {
      enter(phase::over);
    } else {
      fail(EX_UNAVAILABLE, "it was stopped before both servers were subscribed");
    }
    interrupt();
  });
}

void comparison_run::hear(side from, const news& heard) {
  auto& one = at(from);
  switch (heard.what) {
    case news::kind::subscribed:
      one.is_subscribed = true;
      break;
    case news::kind::change: {
      const auto since = heard.at - began_;
      comparison_.add(from, heard.change,
                      std::chrono::duration_cast<change_comparison::duration>(since));
      break;
    }
    case news::kind::dropped:
      one.is_subscribed = false;
      if (phase_ == phase::counting) ++one.drops;
      say(one.settings.name + ": " + heard.text);
      break;
    case news::kind::warning:
      one.last_warning = heard.text;
      say(one.settings.name + ": " + heard.text);
      break;
    case news::kind::failed:
      fail(heard.exit_code,
           one.settings.name + ": " + heard.text +
               (heard.exit_code == EX_NOPERM ? "; check its token"
                                             : "; check its address and that it runs"));
      break;
  }
}

void comparison_run::advance() {
  const auto since = clock::now() - entered_;
  const bool are_subscribed = servers_[0].is_subscribed && servers_[1].is_subscribed;
  switch (phase_) {
    case phase::joining:
      if (are_subscribed) return enter(phase::settling);
      if (since > k_subscribe_limit) {
        const auto& late = servers_[servers_[0].is_subscribed ? 1 : 0];
        fail(EX_UNAVAILABLE, late.settings.name +
                                 " does not say within 30 s that it is subscribed" +
                                 (late.last_warning.empty() ? "" : ": " + late.last_warning));
      }
      break;
    case phase::settling:
      if (!are_subscribed) return enter(phase::joining);
      if (since >= k_settle) enter(phase::counting);
      break;
    case phase::counting:
      if (!has_forgotten_ && since > k_grace) {
        comparison_.forget_watched();
        has_forgotten_ = true;
      }
      if (since >= time_ || comparison_.is_full()) enter(phase::closing);
      break;
    case phase::closing:
      if (since > k_grace || comparison_.unmatched() == 0) enter(phase::over);
      break;
    case phase::over:
      break;
  }
  show_progress();
}

void comparison_run::enter(phase next) {
  if (next == phase::counting) {
    comparison_.start_counting();
    say("both are subscribed, counting for " + format_duration(time_) + " (Ctrl-C ends it)");
  }
  if (next == phase::closing) {
    comparison_.close();
    counted_ = clock::now() - entered_;
    if (comparison_.unmatched() > 0) say("waiting for stragglers");
  }
  phase_ = next;
  entered_ = clock::now();
}

void comparison_run::fail(int exit_code, const std::string& sentence) {
  if (phase_ == phase::over) return;
  say(sentence);
  exit_code_ = exit_code;
  phase_ = phase::over;
}

void comparison_run::show_progress() {
  const auto now = clock::now();
  if (phase_ != phase::counting || now < shown_ + 1s || isatty(STDERR_FILENO) == 0) return;
  shown_ = now;
  has_progress_line_ = true;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - entered_).count();
  std::fprintf(stderr, "\r%lld s  this server %zu, the other %zu, %zu not on both \033[K",
               static_cast<long long>(seconds), comparison_.received(side::ours),
               comparison_.received(side::theirs), comparison_.unmatched());
}

void comparison_run::say(const std::string& sentence) {
  std::fprintf(stderr, "%spgcast: %s\n", std::exchange(has_progress_line_, false) ? "\n" : "",
               escape_control_characters(sentence).c_str());
}

}  // namespace

int run_compare(const loaded_config& loaded, const compare_options& options) {
  const auto refuse = [](const error& e) { return report_failure(EX_USAGE, e.detail); };
  const auto& config = loaded.values;
  compared_server::settings ours;
  compared_server::settings theirs;
  const auto own =
      options.url.empty() ? listener_address(config) : parse_server_url(options.url, "--url");
  if (!own) return refuse(own.error());
  const auto with = parse_server_url(options.with, "--with");
  if (!with) return refuse(with.error());
  const auto filters = filters_of(options);
  if (!filters) return refuse(filters.error());
  const auto time = parse_duration(options.time);
  if (!time || *time <= 0s) {
    return report_failure(EX_USAGE, "--for " + options.time + " is not a time; it takes 60s or 5m");
  }
  const auto own_token = find_own_token(config, options.token_file);
  if (!own_token) return report_failure(own_token.error());
  const auto with_token =
      read_token(options.with_token_file, "--with-token-file", "PGCAST_WITH_TOKEN");
  if (!with_token) return report_failure(with_token.error());
  if (with_token->empty()) {
    return report_failure(EX_CONFIG,
                          "there is no key for the other server; give "
                          "--with-token-file or PGCAST_WITH_TOKEN");
  }

  using after_loss = topic_follower::after_loss;
  ours.name = "this server";
  ours.where = *own;
  ours.token = *own_token;
  ours.tables = *filters;
  ours.rule = options.resumes ? after_loss::resumes : after_loss::starts_afresh;
  theirs.name = "the other server";
  theirs.where = *with;
  theirs.token = *with_token;
  theirs.tables = *filters;

  std::signal(SIGPIPE, SIG_IGN);
  comparison_run comparison(*time, ours, theirs);
  const auto report = comparison.run();
  if (!report) return comparison.exit_code();
  std::printf("%s%s", options.is_json ? to_json(*report).c_str() : to_text(*report).c_str(),
              options.is_json ? "\n" : "");
  return report->figures.ours.missed == 0 ? EX_OK : k_missed;
}

}  // namespace pgcast
