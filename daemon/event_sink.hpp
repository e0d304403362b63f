#pragma once

#include "protocol/event.hpp"

#include <memory>
#include <string>

namespace pgcast {

enum class source_state { connecting, live, lost };

/// The one interface between a source of events and the rest of the daemon. All calls come from
/// the source's thread.
class event_sink {
 public:
  virtual ~event_sink() = default;
  /// Takes the next events; never blocks. Chunks of one batch come in order, batches too.
  virtual void deliver(std::shared_ptr<const event_chunk> chunk) = 0;
  /// False while queues are over their budget: the source waits before it reads on.
  virtual bool has_room() = 0;
  /// Told once a change; `detail` is a sentence for people.
  virtual void source_changed(source_state state, std::string detail) = 0;
  /// The history is a new one (restored, failed over): what clients hold is void.
  virtual void start_over() = 0;
};

}  // namespace pgcast
