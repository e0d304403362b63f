#pragma once

#include "protocol/change_spec.hpp"
#include "protocol/codec.hpp"
#include "protocol/event.hpp"
#include "protocol/outbound_queue.hpp"

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgcast {

class viewer_class;

/// One event on its way to subscribers that see it alike. The frame is encoded when the first of
/// them asks for it and shared by all.
class delivery {
 public:
  virtual ~delivery() = default;
  virtual const std::shared_ptr<const event_chunk>& chunk() const = 0;
  virtual const event& changed() const = 0;
  virtual event_sides sides() const = 0;
  /// nullptr if the event cannot be encoded (counted and logged once).
  virtual const shared_frame& frame() = 0;
};

/// Subscribers of one topic that get the same bytes.
struct audience {
  std::shared_ptr<viewer_class> viewer;
  wire_version version = wire_version::v2;
  std::string wire_topic;  ///< as the client names it, "realtime:session:abc"
  enum class part { member, follower } role = part::member;  ///< followers get rows, no broadcasts
  std::shared_ptr<change_spec> changes = nullptr;  ///< of postgres_changes: which, and in what form
};

/// The frame of a change for who joined as `as.wire_topic` with the bindings of `spec`; `wanted` as
/// in change_spec::write(). nullptr if none of them gets it.
shared_frame write_change(const change_spec& spec, wire_version version,
                          const std::string& wire_topic,
                          const std::shared_ptr<const batch_span>& span, const event& e,
                          event_rows& rows, event_sides sides, const std::vector<bool>& wanted);

/// The frame of a broadcast from the database; nullptr where the version has no form for it.
shared_frame write_kept(const event& e, const std::shared_ptr<const batch_span>& span,
                        wire_version version, std::string_view wire_topic, broadcast_origin origin);

/// The payloads of one event as a topic's row, each written when it is first wanted.
class event_payloads {
 public:
  /// Both outlive the object.
  event_payloads(const batch_span& span, const event& e) : span_(span), event_(e) {}
  /// "" if the event cannot be encoded.
  const std::string& of(event_view view);

 private:
  const batch_span& span_;
  const event& event_;
  std::array<std::optional<std::string>, 5> payloads_;
};

/// One event for one audience, of which some see one side and others both: a frame for each of
/// these views, written when it is first wanted. All arguments outlive the object.
class shared_delivery : public delivery {
 public:
  shared_delivery(const std::shared_ptr<const event_chunk>& chunk, const event& e,
                  const audience& as)
      : chunk_(chunk), event_(e), as_(as) {}
  const std::shared_ptr<const event_chunk>& chunk() const override { return chunk_; }
  const event& changed() const override { return event_; }
  event_sides sides() const override { return sides_; }
  const shared_frame& frame() override;
  /// What those see who are told next.
  void turn_to(event_sides sides) { sides_ = sides; }

 protected:
  virtual shared_frame write() const = 0;
  const audience& as() const { return as_; }

 private:
  const std::shared_ptr<const event_chunk>& chunk_;
  const event& event_;
  const audience& as_;
  event_sides sides_;
  std::array<std::optional<shared_frame>, 4> frames_;  ///< by sides
};

/// As a row of a topic.
class row_delivery : public shared_delivery {
 public:
  row_delivery(const std::shared_ptr<const event_chunk>& chunk, const event& e, const audience& as,
               event_payloads& payloads)
      : shared_delivery(chunk, e, as), payloads_(payloads) {}

 private:
  shared_frame write() const override;
  event_payloads& payloads_;
};

/// As a change for the bindings of `as.changes`.
class change_delivery : public shared_delivery {
 public:
  change_delivery(const std::shared_ptr<const event_chunk>& chunk, const event& e,
                  const audience& as, event_rows& rows)
      : shared_delivery(chunk, e, as), rows_(rows) {}

 private:
  shared_frame write() const override;
  event_rows& rows_;
};

/// As a broadcast from the database, which has no sides.
class kept_delivery : public shared_delivery {
 public:
  using shared_delivery::shared_delivery;

 private:
  shared_frame write() const override;
};

}  // namespace pgcast
