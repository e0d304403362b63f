#pragma once

#include "protocol/change_comparison.hpp"

#include <chrono>
#include <cstddef>
#include <string>

namespace pgcast {

/// What `pgcast compare` has to tell.
struct comparison_report {
  struct server {
    std::string name;  ///< host and port
    std::size_t drops = 0;
  };
  server ours;
  server theirs;
  std::chrono::milliseconds counted{0};  ///< for how long
  bool is_cut_short = false;             ///< by too many unmatched changes
  change_comparison::figures figures;
};

/// A table for people, with the missed changes that are named; ends with a newline.
std::string to_text(const comparison_report& report);

/// One JSON object on one line.
std::string to_json(const comparison_report& report);

}  // namespace pgcast
