#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// A topic and how many have joined it.
struct topic_audience {
  std::string topic;  ///< hub key
  std::size_t subscribers = 0;
};

/// The topics with the most subscribers of all that are added, at most `most`. A topic's name is
/// copied only when it is among them so far: O(log most) then, else O(1).
class busiest_topics {
 public:
  explicit busiest_topics(std::size_t most) : most_(most) {}

  void add(std::string_view topic, std::size_t subscribers);
  /// Most subscribers first, then by name.
  std::vector<topic_audience> sorted() const;

 private:
  std::size_t most_;
  std::vector<topic_audience> heap_;  ///< the least one in front
};

}  // namespace pgcast
