#pragma once

#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// A frame of tests/data/realtime_frames.tsv.
struct recorded_frame {
  std::string version;  ///< "1.0.0" or "2.0.0"
  bool is_from_client = false;
  bool is_binary = false;
  std::string bytes;
};

inline std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

/// All frames that the real client sent and understood, in their order.
inline std::vector<recorded_frame> recorded_frames() {
  std::ifstream file(PGCAST_SOURCE_DIR "/tests/data/realtime_frames.tsv");
  std::vector<recorded_frame> frames;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    const auto first = line.find('\t');
    const auto second = line.find('\t', first + 1);
    const auto third = line.find('\t', second + 1);
    const bool is_binary = line.substr(second + 1, third - second - 1) == "binary";
    const std::string rest = line.substr(third + 1);
    frames.push_back({line.substr(0, first), line.substr(first + 1, 4) == "C->S", is_binary,
                      is_binary ? from_hex(rest) : rest});
  }
  if (frames.empty()) throw std::runtime_error("no recorded frames");
  return frames;
}

}  // namespace pgcast
