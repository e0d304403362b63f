#include "daemon/setting_kinds.hpp"

namespace pgcast {

using namespace std::chrono_literals;

void add_limits(std::vector<setting>& all) {
  all.push_back(count(
      {"limits.connections", "", "clients at the same time"}, 1, 10'000'000,
      [](auto& c) -> auto& { return c.limits.connections; }));
  all.push_back(count(
      {"limits.address_connections", "",
       "clients of one address (of IPv6 one /64) at the same time; loopback is not counted, and "
       "behind a proxy it takes server.trusted_proxies"},
      1, 10'000'000, [](auto& c) -> auto& { return c.limits.address_connections; }));
  all.push_back(count(
      {"limits.user_connections", "",
       "clients of one user (role and `sub` of the token) at the same time; service_role is not "
       "counted"},
      1, 10'000'000, [](auto& c) -> auto& { return c.limits.user_connections; }));
  all.push_back(size(
      {"limits.header_bytes", "", "request line and headers of a handshake"}, 1'024, 1 << 20,
      [](auto& c) -> auto& { return c.limits.header_bytes; }));
  all.push_back(size(
      {"limits.message_bytes", "", "one message of a client"}, 1'024, 64 << 20,
      [](auto& c) -> auto& { return c.limits.message_bytes; }));
  all.push_back(size(
      {"limits.payload_bytes", "", "the payload of one broadcast, by a client or over HTTP"}, 1'024,
      64 << 20, [](auto& c) -> auto& { return c.limits.payload_bytes; }));
  all.push_back(size(
      {"limits.bodies_bytes", "", "broadcasts over HTTP that are read at the same time"}, 1 << 20,
      std::size_t{1} << 40, [](auto& c) -> auto& { return c.limits.bodies_bytes; }));
  all.push_back(count(
      {"limits.batch_messages", "", "messages of one broadcast over HTTP"}, 1, 1'000'000,
      [](auto& c) -> auto& { return c.limits.batch_messages; }));
  all.push_back(count(
      {"limits.fragments", "", "pieces of one message of a client"}, 1, 1'000'000,
      [](auto& c) -> auto& { return c.limits.fragments; }));
  all.push_back(count(
      {"limits.channels", "", "joined channels of a client"}, 1, 100'000,
      [](auto& c) -> auto& { return c.limits.channels; }));
  all.push_back(count(
      {"limits.join_rate", "",
       "joins a client and second, and as many at once; who sends more is read later. Not of "
       "service_role"},
      1, 1'000'000, [](auto& c) -> auto& { return c.limits.join_rate; }));
  all.push_back(count(
      {"limits.message_rate", "",
       "messages of any kind a client and second, and as many at once; who sends more is read "
       "later. Not of service_role"},
      1, 1'000'000, [](auto& c) -> auto& { return c.limits.message_rate; }));
  all.push_back(size(
      {"limits.queue_bytes", "", "what may wait for one client"}, 16 << 10, 1 << 30,
      [](auto& c) -> auto& { return c.limits.queue_bytes; }));
  all.push_back(size(
      {"limits.queues_bytes", "",
       "what may wait for all clients together; above it the reader pauses"},
      1 << 20, std::size_t{1} << 40, [](auto& c) -> auto& { return c.limits.queues_bytes; }));
  all.push_back(duration(
      {"limits.handshake", "", "a handshake must be complete after this time"}, 100ms, 5min,
      [](auto& c) -> auto& { return c.limits.handshake; }));
  all.push_back(duration(
      {"limits.idle", "", "a silent client is pinged, then dropped"}, 1s, 1h,
      [](auto& c) -> auto& { return c.limits.idle; }));
  all.push_back(duration(
      {"limits.slow_client", "", "a full queue for this long parks the client"}, 0s, 10min,
      [](auto& c) -> auto& { return c.limits.slow_client; }));
  all.push_back(count(
      {"limits.database_connections", "", "database connections a thread, for joins and decisions"},
      1, 64, [](auto& c) -> auto& { return c.limits.database_connections; }));
  all.push_back(duration(
      {"limits.held_place", "",
       "how long the place of a dropped client with a client_id is kept; 0s: not at all"},
      0s, 1h, [](auto& c) -> auto& { return c.limits.held_place; }));
  all.push_back(count(
      {"limits.held_places", "", "places of dropped clients, of all together"}, 0, 10'000'000,
      [](auto& c) -> auto& { return c.limits.held_places; }));
  all.push_back(count(
      {"limits.api_requests", "",
       "requests of the snapshot API a thread that run or wait for the database"},
      1, 100'000, [](auto& c) -> auto& { return c.limits.api_requests; }));
  all.push_back(count(
      {"limits.ticker_sessions", "",
       "sessions of a campaign that has live numbers, about 300 bytes each and thread"},
      1, 100'000'000, [](auto& c) -> auto& { return c.limits.ticker_sessions; }));
  all.push_back(size(
      {"limits.presence_bytes", "", "key and payload of one presence"}, 256, 1 << 20,
      [](auto& c) -> auto& { return c.limits.presence_bytes; }));
  all.push_back(size(
      {"limits.presence_topic_bytes", "", "all presences of a topic, each with 512 bytes more"},
      4'096, 64 << 20, [](auto& c) -> auto& { return c.limits.presence_topic_bytes; }));
  all.push_back(size(
      {"limits.presence_total_bytes", "", "the presences of all topics, counted alike"}, 1 << 20,
      std::size_t{64} << 30, [](auto& c) -> auto& { return c.limits.presence_total_bytes; }));
  all.push_back(count(
      {"limits.presence_rate", "",
       "changes of presence a client and second; of more the last one of each channel counts"},
      1, 10'000, [](auto& c) -> auto& { return c.limits.presence_rate; }));
  all.push_back(duration(
      {"limits.presence_hold", "",
       "how long a client that dropped without a word stays present; if it is back by then nobody "
       "notices"},
      0s, 1min, [](auto& c) -> auto& { return c.limits.presence_hold; }));
}

}  // namespace pgcast
