#include "daemon/metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <regex>
#include <sstream>

namespace pgcast {
namespace {

using testing::HasSubstr;

TEST(Metrics, Exposition_ShowsWhatWasCounted) {
  const auto all = std::make_unique<metric_set>();
  all->connections.add(3);
  all->connections.subtract();
  all->events_delivered.add(41);
  all->joins[join_outcome::unavailable].add();
  all->source_lag.set(std::chrono::milliseconds(1'250));
  const auto text = render_metrics(*all);
  EXPECT_THAT(text, HasSubstr("\npgcast_events_delivered_total 41\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE pgcast_connections gauge\npgcast_connections 2\n"));
  EXPECT_THAT(text, HasSubstr("\npgcast_joins_total{result=\"unavailable\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("\npgcast_joins_total{result=\"ok\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("\npgcast_source_lag_seconds 1.250000\n"));
}

/// The text format 0.0.4, as prometheus.io/docs/instrumenting/exposition_formats has it.
TEST(Metrics, Exposition_IsWellFormed) {
  const std::regex comment("# (HELP pgcast_[a-z_]+ [^\\\\]+|TYPE pgcast_[a-z_]+ (counter|gauge))");
  const std::regex sample("pgcast_[a-z_]+(\\{[a-z]+=\"[a-z_]+\"\\})? -?[0-9]+(\\.[0-9]+)?");
  std::istringstream lines(render_metrics(metrics()));
  for (std::string line; std::getline(lines, line);) {
    EXPECT_TRUE(std::regex_match(line, comment) || std::regex_match(line, sample)) << line;
  }
}

TEST(Metrics, Names_FollowConvention) {
  for (const auto& m : metric_list()) {
    const bool is_counter = m.type == metric_type::counter;
    EXPECT_EQ(m.name.ends_with("_total"), is_counter) << m.name;
    EXPECT_EQ(m.label.empty(), m.values.empty()) << m.name;
    EXPECT_FALSE(m.help.empty()) << m.name;
  }
}

TEST(Metrics, Document_HasEveryMetricAsItIs) {
  std::ostringstream document;
  document << std::ifstream(std::string(PGCAST_SOURCE_DIR) + "/docs/metrics.md").rdbuf();
  std::size_t lines = 0;
  for (const auto& m : metric_list()) {
    std::string labels;
    for (const auto value : m.values) {
      labels +=
          (labels.empty() ? std::string(m.label) + ": " : ", ") + "`" + std::string(value) + "`";
    }
    const auto line = "| `" + std::string(m.name) + "` | " +
                      (m.type == metric_type::counter ? "counter" : "gauge") + " | " + labels +
                      (labels.empty() ? "| " : " | ") + std::string(m.help) + " |\n";
    EXPECT_THAT(document.str(), HasSubstr(line));
    ++lines;
  }
  const std::regex row("\n\\| `pgcast_");
  const auto text = document.str();
  EXPECT_EQ(std::distance(std::sregex_iterator(text.begin(), text.end(), row), {}),
            static_cast<std::ptrdiff_t>(lines));
}

}  // namespace
}  // namespace pgcast
