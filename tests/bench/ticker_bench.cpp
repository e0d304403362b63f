// What folding an event into a campaign's numbers costs, with a thousand campaigns watched.

#include "protocol/ticker.hpp"

#include <benchmark/benchmark.h>

#include <malloc.h>

#include <memory>
#include <string>
#include <vector>

namespace {

using namespace pgcast;

constexpr std::size_t k_campaigns = 1'000;
constexpr std::size_t k_sessions = 100;  // of each
constexpr std::size_t k_events = 5'000;

std::string session_name(std::size_t campaign, std::size_t session) {
  return "0b6f8a52-8f0c-4d2c-9d0a-" + std::to_string(100'000 + campaign) +
         std::to_string(100'000 + session);
}

struct watched {
  std::vector<std::unique_ptr<ticker>> tickers;
  std::size_t bytes_a_session = 0;

  watched() {
    const auto before = mallinfo2().uordblks;
    for (std::size_t c = 0; c < k_campaigns; ++c) {
      tickers.push_back(std::make_unique<ticker>("campaign " + std::to_string(c)));
      std::vector<ticker::answer> found;
      for (std::size_t s = 0; s < k_sessions; ++s) {
        ticker::answer a;
        a.session = session_name(c, s);
        a.campaign = "campaign " + std::to_string(c);
        a.numbers.objectives = {"available", "licence", "salary"};
        a.numbers.last_activity_us = 1'700'000'000'000'000;
        found.push_back(std::move(a));
      }
      tickers.back()->ask();
      tickers.back()->take_answers(position{}, found);
    }
    bytes_a_session = (mallinfo2().uordblks - before) / (k_campaigns * k_sessions);
  }
};

event row_of(std::string_view table, std::string_view op, const std::string& record,
             const std::string& old_record) {
  std::optional<std::string_view> now;
  std::optional<std::string_view> old;
  if (!record.empty()) now = record;
  if (!old_record.empty()) old = old_record;
  return *parse_outbox_row(
      {"7", "99", "2026-01-02T03:04:05.678901Z", "public", table, op, now, old},
      recruiting_description());
}

/// A message of 300 bytes, of two in three events; the rest are updates of the session.
std::vector<event> events() {
  std::vector<event> out;
  for (std::size_t i = 0; i < k_events; ++i) {
    const auto session = session_name(i * 7 % k_campaigns, i * 13 % k_sessions);
    if (i % 3 == 0) {
      const std::string at = R"("2026-01-02T03:04:)" + std::to_string(10 + i % 50) + R"(+00:00")";
      out.push_back(row_of(
          "session_info", "U",
          R"({"tz": "Europe/London", "campaign": "campaign 1", "created_at": null, "objectives": )"
          R"({"available": true, "licence": {"met": true}, "salary": {"value": true}}, )"
          R"("session_id": ")" +
              session + R"(", "updated_at": null, "last_action": "asked", "user_updated": )" + at +
              R"(, "action_status": "done", "agent_updated": null, "reminder_count": 0, )"
              R"("session_status": "active", "last_user_msg_at": )" +
              at +
              R"(, "last_outbound_at": null, "next_reminder_at": null, )"
              R"("last_agent_msg_at": null, "latest_batch_call_id": null})",
          R"({"user_updated": null, "last_user_msg_at": null})"));
    } else {
      out.push_back(row_of("chat_history", "I",
                           R"({"id": 123456, "message": {"sender": "user", "text": ")" +
                               std::string(180, 'x') + R"(", "status": "sent"}, "session_id": ")" +
                               session + R"("})",
                           ""));
    }
  }
  return out;
}

void fold(benchmark::State& state) {
  watched w;
  const auto all = events();
  auto span = std::make_shared<batch_span>();
  span->history = std::make_shared<source_history>();
  std::size_t i = 0;
  for (auto _ : state) {
    w.tickers[i * 7 % k_campaigns]->on_event(all[i], *span, {i % 3 == 0, true});
    i = (i + 1) % k_events;
  }
  state.counters["bytes_a_session"] = static_cast<double>(w.bytes_a_session);
}
BENCHMARK(fold);

/// Once in stats.interval for each campaign that has changed.
void write_numbers(benchmark::State& state) {
  watched w;
  std::size_t i = 0;
  for (auto _ : state) benchmark::DoNotOptimize(w.tickers[i++ % k_campaigns]->numbers());
}
BENCHMARK(write_numbers);

}  // namespace
