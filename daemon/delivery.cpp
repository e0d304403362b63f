#include "daemon/delivery.hpp"

#include "daemon/metrics.hpp"

#include <spdlog/spdlog.h>

namespace pgcast {

shared_frame write_change(const change_spec& spec, wire_version version,
                          const std::string& wire_topic,
                          const std::shared_ptr<const batch_span>& span, const event& e,
                          event_rows& rows, event_sides sides, const std::vector<bool>& wanted) {
  const auto cursor = encode_cursor(span->at(e.id), *span->history);
  std::string bytes;
  for (const auto& m : spec.write(e, rows, sides, wanted, cursor)) {
    bytes += encode_push(version, "null", "null", wire_topic, m.event, m.payload);
  }
  if (bytes.empty()) return nullptr;
  return std::make_shared<const outbound_frame>(std::move(bytes), span, e.id);
}

const std::string& event_payloads::of(event_view view) {
  auto& payload = payloads_[static_cast<std::size_t>(view)];
  if (payload) return *payload;
  auto encoded = encode_event(event_, view, encode_cursor(span_.at(event_.id), *span_.history));
  if (!encoded) {
    metrics().rows_unparsable.add();
    spdlog::error("event {} skipped: {}", event_.id, encoded.error().detail);
  }
  payload = encoded ? *std::move(encoded) : std::string{};
  return *payload;
}

const shared_frame& shared_delivery::frame() {
  auto& known = frames_[(sides_.old_row ? 1U : 0U) + (sides_.new_row ? 2U : 0U)];
  if (!known) known = write();
  return *known;
}

shared_frame row_delivery::write() const {
  const auto& payload = payloads_.of(view_of(changed().op, sides()));
  if (payload.empty()) return nullptr;
  return std::make_shared<const outbound_frame>(
      encode_event_of_daemon(as().version, as().wire_topic, changed().table, {payload}),
      chunk()->batch, changed().id);
}

shared_frame change_delivery::write() const {
  return write_change(*as().changes, as().version, as().wire_topic, chunk()->batch, changed(),
                      rows_, sides(), {});
}

shared_frame write_kept(const event& e, const std::shared_ptr<const batch_span>& span,
                        wire_version version, std::string_view wire_topic,
                        broadcast_origin origin) {
  auto bytes = encode_kept(*e.broadcast, version, wire_topic, origin);
  if (bytes.empty()) return nullptr;
  return std::make_shared<const outbound_frame>(std::move(bytes), span, e.id);
}

shared_frame kept_delivery::write() const {
  return write_kept(changed(), chunk()->batch, as().version, as().wire_topic,
                    broadcast_origin::live);
}

}  // namespace pgcast
