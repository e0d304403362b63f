#include "daemon/comparison_report.hpp"

#include "daemon/log.hpp"
#include "protocol/codec.hpp"

#include <spdlog/fmt/fmt.h>

#include <cmath>
#include <string_view>

namespace pgcast {
namespace {

using figures_of_one = change_comparison::server_figures;
using duration = change_comparison::duration;

double milliseconds(duration lag) {
  return std::round(static_cast<double>(lag.count()) / 10) / 100;
}

/// "0.21 ms", "12 ms", "1.2 s"
std::string lag_text(duration lag) {
  const double ms = milliseconds(lag);
  if (ms >= 1000) return fmt::format("{:.1f} s", ms / 1000);
  return fmt::format("{:.{}f} ms", ms, ms >= 10 || ms == 0 ? 0 : 2);
}

std::string line(std::string_view what, const std::string& ours, const std::string& theirs,
                 std::string_view note = "") {
  auto text = fmt::format("{:<18}{:>14}{:>14}  {}", what, ours, theirs, note);
  return text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
}

std::string lag_line(std::string_view what, const change_comparison::figures& f, double share) {
  return line(what, lag_text(f.ours.behind.quantile(share)),
              lag_text(f.theirs.behind.quantile(share)));
}

std::string missed_text(std::string_view who, const figures_of_one& of) {
  if (of.missed == 0) return "";
  auto text = of.first_missed.size() < of.missed
                  ? fmt::format("\nMissed by {}, the first {} of {}:\n", who,
                                of.first_missed.size(), of.missed)
                  : fmt::format("\nMissed by {}:\n", who);
  for (const auto& missed : of.first_missed) {
    const auto what = fmt::format("{} {} {}", missed.table, missed.type, missed.key);
    text += fmt::format("  {}  {}\n", escape_control_characters(missed.commit_timestamp),
                        escape_control_characters(what));
  }
  return text;
}

std::string missed_json(const figures_of_one& of) {
  std::string all;
  for (const auto& missed : of.first_missed) {
    all += fmt::format(R"({}{{"table":{},"type":{},"key":{},"commit_timestamp":{}}})",
                       all.empty() ? "" : ",", json_quote(missed.table), json_quote(missed.type),
                       json_quote(missed.key), json_quote(missed.commit_timestamp));
  }
  return all;
}

std::string server_json(const comparison_report::server& one, const figures_of_one& of) {
  return fmt::format(
      R"({{"server":{},"received":{},"missed":{},"doubled":{},)"
      R"("behind_ms":{{"p50":{},"p95":{},"max":{}}},"drops":{},"missed_changes":[{}]}})",
      json_quote(one.name), of.received, of.missed, of.doubled,
      milliseconds(of.behind.quantile(0.5)), milliseconds(of.behind.quantile(0.95)),
      milliseconds(of.behind.max()), one.drops, missed_json(of));
}

}  // namespace

std::string to_text(const comparison_report& r) {
  const auto& f = r.figures;
  const auto number = [](std::size_t n) { return std::to_string(n); };
  auto text = fmt::format(
      "{:.0f} s of changes, {} came from both: this server is {}, the other {}\n\n",
      static_cast<double>(r.counted.count()) / 1000, f.both, r.ours.name, r.theirs.name);
  text += line("", "this server", "the other");
  text += line("received", number(f.ours.received), number(f.theirs.received));
  text += line("missed", number(f.ours.missed), number(f.theirs.missed), "the other one had it");
  text += line("doubled", number(f.ours.doubled), number(f.theirs.doubled));
  text += lag_line("behind, median", f, 0.5);
  text += lag_line("behind, 95 %", f, 0.95);
  text += lag_line("behind, longest", f, 1);
  text += line("drops", number(r.ours.drops), number(r.theirs.drops), "connection or channel lost");
  text += missed_text("this server", f.ours);
  text += missed_text("the other", f.theirs);
  if (f.ours.received == 0 && f.theirs.received == 0) {
    text += "\nNothing changed in this time, or both missed it: there is nothing to compare.\n";
  }
  if (r.is_cut_short) {
    text += "\nEnded early: so many changes came from one server only that more cannot be kept.\n";
  }
  return text;
}

std::string to_json(const comparison_report& r) {
  return fmt::format(R"({{"seconds":{},"both":{},"is_cut_short":{},"this":{},"other":{}}})",
                     static_cast<double>(r.counted.count()) / 1000, r.figures.both, r.is_cut_short,
                     server_json(r.ours, r.figures.ours), server_json(r.theirs, r.figures.theirs));
}

}  // namespace pgcast
