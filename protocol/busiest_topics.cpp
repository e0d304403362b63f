#include "protocol/busiest_topics.hpp"

#include <algorithm>

namespace pgcast {
namespace {

bool is_busier(const topic_audience& a, const topic_audience& b) {
  return a.subscribers != b.subscribers ? a.subscribers > b.subscribers : a.topic < b.topic;
}

}  // namespace

void busiest_topics::add(std::string_view topic, std::size_t subscribers) {
  if (subscribers == 0 || most_ == 0) return;
  if (heap_.size() == most_) {
    if (subscribers <= heap_.front().subscribers) return;
    std::pop_heap(heap_.begin(), heap_.end(), is_busier);
    heap_.pop_back();
  }
  heap_.push_back({std::string{topic}, subscribers});
  std::push_heap(heap_.begin(), heap_.end(), is_busier);
}

std::vector<topic_audience> busiest_topics::sorted() const {
  auto out = heap_;
  std::sort(out.begin(), out.end(), is_busier);
  return out;
}

}  // namespace pgcast
