// What a filter costs: a row as the seven tables have them, filters as clients write them.

#include "protocol/filter.hpp"

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

namespace {

using namespace pgcast;

const std::vector<table_column> k_columns{{"id", "int8", {}},        {"session_id", "text", {}},
                                          {"message", "jsonb", {}},  {"price", "numeric", {}},
                                          {"at", "timestamptz", {}}, {"tags", "_text", {}},
                                          {"is_read", "bool", {}},   {"title", "text", {}}};

/// About 1 kB, most of it in a jsonb column.
const std::string k_record =
    R"({"id": 123456, "at": "2026-01-31T12:00:00.123456+00:00", "tags": ["new", "call back"], )"
    R"("price": 12.50, "title": "Night shift in a care home near Leeds", "is_read": false, )"
    R"("message": {"type": "human", "content": ")" +
    std::string(700, 'x') + R"("}, "session_id": "0b6f8a52-8f0c-4d2c-9d0a-0f2f4c1f9f11"})";

filter parsed(const std::string& text) { return *filter::parse(text, k_columns); }

std::string ten_thousand() {
  std::string text = "id=in.(";
  for (int i = 0; i < 10'000; ++i) text += (i == 0 ? "" : ",") + std::to_string(i * 13);
  return text + ')';
}

/// The first filter of an event: the record is parsed for it.
void first_match(benchmark::State& state, const std::string& text) {
  const auto wanted = parsed(text);
  for (auto _ : state) {
    row_values row(k_record);
    benchmark::DoNotOptimize(wanted.matches(row));
  }
}

/// Each further one, of thousands of subscribers.
void next_match(benchmark::State& state, const std::string& text) {
  const auto wanted = parsed(text);
  row_values row(k_record);
  for (auto _ : state) benchmark::DoNotOptimize(wanted.matches(row));
}

void parse(benchmark::State& state, const std::string& text) {
  for (auto _ : state) benchmark::DoNotOptimize(filter::parse(text, k_columns));
}

BENCHMARK_CAPTURE(first_match, int8_eq, "id=eq.5");
BENCHMARK_CAPTURE(first_match, timestamptz_gt, "at=gt.2026-01-01T00:00:00Z");
BENCHMARK_CAPTURE(first_match, jsonb_eq, "message=eq.{}");
BENCHMARK_CAPTURE(next_match, int8_eq, "id=eq.5");
BENCHMARK_CAPTURE(next_match, text_eq, "session_id=eq.0b6f8a52-8f0c-4d2c-9d0a-0f2f4c1f9f11");
BENCHMARK_CAPTURE(next_match, numeric_gt, "price=gt.10");
BENCHMARK_CAPTURE(next_match, timestamptz_gt, "at=gt.2026-01-01T00:00:00Z");
BENCHMARK_CAPTURE(next_match, three_conditions, "is_read=is.false,price=gt.10,id=neq.5");
BENCHMARK_CAPTURE(next_match, in_ten_thousand, ten_thousand());
BENCHMARK_CAPTURE(next_match, like, "title=like.%care%Leeds");
BENCHMARK_CAPTURE(next_match, ilike, "title=ilike.%CARE%leeds");
BENCHMARK_CAPTURE(next_match, match, "title=match.care (home|assistant)");
BENCHMARK_CAPTURE(parse, int8_eq, "id=eq.5");
BENCHMARK_CAPTURE(parse, match, "title=match.care (home|assistant)");
BENCHMARK_CAPTURE(parse, in_ten_thousand, ten_thousand());

}  // namespace
