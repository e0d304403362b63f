#pragma once

#include "protocol/codec.hpp"
#include "protocol/feed_fsm.hpp"
#include "protocol/frame.hpp"
#include "protocol/outbound_queue.hpp"
#include "tests/unit/simulated_shard.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pgcast {

class simulated_feed;

/// What waits for one client, and the socket that it reads from: a connection without the rest.
class simulated_connection {
 public:
  simulated_connection(simulated_shard& s, std::size_t limit_bytes)
      : shard_(s), limit_(limit_bytes) {}

  void send(shared_frame frame, std::uint32_t feed) { queue_.push(std::move(frame), feed); }
  void keep_rows(std::uint32_t feed) { queue_.keep_rows(feed); }
  bool has_room() const { return !is_parked_ && queue_.bytes() < limit_ / 2; }
  bool is_parked() const { return is_parked_; }
  bool is_idle() const { return queue_.is_empty() && in_socket_.empty(); }
  std::uint32_t next_feed_number() { return next_feed_++; }
  std::vector<simulated_feed*>& feeds() { return feeds_; }

  /// The socket takes so many bytes.
  void flush(std::size_t bytes);
  /// The deadline of a client with a full queue.
  void park_if_full();
  /// The next bytes of the socket.
  std::string receive(std::size_t bytes) {
    auto out = in_socket_.substr(0, bytes);
    in_socket_.erase(0, bytes);
    return out;
  }
  std::size_t bytes_in_socket() const { return in_socket_.size(); }

 private:
  simulated_shard& shard_;
  outbound_queue queue_;
  std::size_t limit_;
  std::string in_socket_;
  bool is_parked_ = false;
  std::uint32_t next_feed_ = 1;
  std::vector<simulated_feed*> feeds_;
};

/// A channel's rows as daemon/feed.cpp and daemon/topic_feed.cpp move them, with the database's
/// answers at the time that the test chooses instead of coroutines.
class simulated_feed : public subscriber {
 public:
  struct identity {
    simulated_tables::watched topic;
    unsigned viewer = 0;
    wire_version version = wire_version::v2;
    std::string wire_topic;
    unsigned join = 0;  ///< number of the client's join
    audience::part role = audience::part::member;
  };

  simulated_feed(simulated_shard& s, simulated_connection& c, identity id)
      : shard_(s), connection_(c), id_(std::move(id)), number_(c.next_feed_number()) {
    connection_.feeds().push_back(this);
    register_member();
  }
  ~simulated_feed() override {
    fsm_.end();
    std::erase(connection_.feeds(), this);
  }

  const identity& id() const { return id_; }
  bool is_busy() const {
    return waits_ != waits::nothing || renewal_ || fsm_.now() == feed_fsm::state::parked;
  }

  /// From a snapshot, or from a place; the database answers later.
  void join(std::optional<position> from) {
    from_ = from;
    is_resumed_ = from.has_value();
    waits_ = waits::snapshot_query;
  }
  /// From here on, without a question. Only while the hub decides nothing.
  void join_live() {
    fsm_.go_live_at_once();
    answer_join();
  }
  /// A new token with other claims but the same rights.
  void renew(unsigned viewer) { renewal_ = viewer; }

  /// The next thing that it waits for happens.
  void advance() {
    auto& db = shard_.db;
    if (renewal_ && db.below(3) == 0) return finish_renewal();
    switch (waits_) {
      case waits::nothing:
        return;
      case waits::snapshot_query:
        taken_ = {db.now(), db.history(), db.committed().size()};
        waits_ = waits::snapshot_answer;
        return;
      case waits::snapshot_answer:
        return is_joined_ ? go_on_afresh() : start();
      case waits::page_query:
        if (db.below(200) == 0) return start_afresh();
        page_ = db.read(
            *from_,
            [&](const auto& r) { return simulated_tables::touches(id_.topic, db.of(r.id)); },
            page_events_);
        waits_ = waits::page_answer;
        return;
      case waits::page_answer:
        if (db.below(16) == 0) return catch_up(*from_);  // could not be decided
        return take_page();
      case waits::room:
        if (connection_.has_room()) return end_page();
        fsm_.forget_held();
        ++shard_.paths["held events forgotten for want of room"];
        return;
    }
  }

  void on_event(delivery& d) override {
    switch (fsm_.on_event(d.chunk(), d.changed(), d.sides())) {
      case feed_fsm::verdict::drop:
        if (fsm_.is_live()) ++shard_.paths["dropped at the seam"];
        return;
      case feed_fsm::verdict::deliver_with_own_cursor:
        ++shard_.paths["own cursor"];
        return send_row(fsm_.own_span(d.chunk()->batch), d.changed(), d.sides(), number_);
      case feed_fsm::verdict::deliver:
        break;
    }
    if (d.frame()) connection_.send(d.frame(), number_);
  }
  void on_broadcast(const shared_frame&) override {}
  void on_number_moved(const event&, const batch_span&) override {}

  void park(const outbound_queue& waiting) {
    position before;
    const bool is_waiting = waiting.first_waiting(number_, before);
    const bool is_live = fsm_.park(is_waiting ? &before : nullptr, shard_.topics.published());
    mark_.reset();
    ++shard_.paths[!is_live     ? "parked while it reads"
                   : is_waiting ? "parked, rows wait"
                                : "parked, none wait"];
  }
  void unpark() {
    if (fsm_.now() != feed_fsm::state::parked) return;
    ++shard_.paths["unparked"];
    catch_up(*fsm_.place(shard_.topics.published()));
  }

  /// Where the client is once it has received what waits now; void once rows are dropped.
  void mark(unsigned number) {
    mark_.reset();
    auto place = fsm_.place(shard_.topics.published());
    if (place) mark_ = {number, *std::move(place)};
  }
  std::optional<position> acknowledge(unsigned number) {
    if (!mark_ || mark_->first != number) return std::nullopt;
    return std::exchange(mark_, std::nullopt)->second;
  }

 private:
  enum class waits { nothing, snapshot_query, snapshot_answer, page_query, page_answer, room };
  struct snapshot {
    position at;
    std::shared_ptr<const source_history> history;
    std::size_t committed = 0;
  };

  void register_member() {
    audience as{shard_.viewer(id_.viewer), id_.version, id_.wire_topic, id_.role};
    membership_ = shard_.topics.subscribe(id_.topic.name(), id_.topic.kind, std::move(as), *this);
  }
  void start_reading(std::optional<position> place) {
    if (fsm_.is_live()) connection_.keep_rows(number_);
    fsm_.start_reading(std::move(place));
  }
  void catch_up(position from) {
    start_reading(from);
    page_events_ = 1 + shard_.db.below(shard_.db.below(4) == 0 ? 200 : 8);
    from_ = std::move(from);
    waits_ = waits::page_query;
  }
  void answer_join() {
    is_joined_ = true;
    say("joined", std::to_string(id_.join));
  }
  void start() {
    waits_ = waits::nothing;
    answer_join();
    if (is_resumed_) return catch_up(*from_);
    send_snapshot();
    go_live(taken_.at);
    if (fsm_.now() != feed_fsm::state::catching_up) return;
    ++shard_.paths["too much held while joining"];
    catch_up(taken_.at);
  }
  void start_afresh() {
    ++shard_.paths["started afresh"];
    start_reading(std::nullopt);
    waits_ = waits::snapshot_query;
  }
  void go_on_afresh() {
    send_snapshot();
    catch_up(taken_.at);
  }
  void take_page() {
    for (const auto& item : page_.items) {
      const auto sides = shard_.sides_of(id_.topic, id_.viewer, shard_.db.of(item.changed.id));
      if (!sides.old_row && !sides.new_row) continue;
      send_row(item.span, shard_.db.event_of(item.changed), sides, 0);
    }
    from_ = page_.next;
    fsm_.has_read(page_.next);
    waits_ = waits::room;
    ++shard_.paths["page read"];
  }
  void end_page() {
    if (page_.is_end) go_live(*from_);
    if (fsm_.now() != feed_fsm::state::catching_up) {
      waits_ = waits::nothing;
      return;
    }
    if (page_.is_end) ++shard_.paths["too much held while reading"];
    catch_up(*from_);
  }
  void go_live(position read_up_to) {
    if (connection_.is_parked()) {
      ++shard_.paths["parked instead of live"];
      return fsm_.park_at(std::move(read_up_to));
    }
    auto released = fsm_.go_live(std::move(read_up_to));
    if (!released) return;
    shard_.paths["held event released"] += released->size();
    for (const auto& r : *released) send_row(r.span, *r.e, r.sides, number_);
  }
  void finish_renewal() {
    id_.viewer = *std::exchange(renewal_, std::nullopt);
    register_member();
    ++shard_.paths["token renewed"];
    if (fsm_.is_live()) {
      catch_up(*fsm_.place(shard_.topics.published()));
    } else {
      fsm_.forget_held();
    }
  }

  void send_snapshot() {
    ++shard_.paths["snapshot"];
    say("snapshot", R"({"cursor":")" + encode_cursor(taken_.at, *taken_.history) +
                        R"(","committed":)" + std::to_string(taken_.committed) + "}");
  }
  void say(const char* event, const std::string& json) {
    connection_.send(std::make_shared<const outbound_frame>(
                         encode_broadcast(id_.version, id_.wire_topic, event, {json})),
                     0);
  }
  void send_row(const std::shared_ptr<const batch_span>& span, const event& e, event_sides sides,
                std::uint32_t feed_number) {
    const auto view = view_of(e.op, sides);
    if (view == event_view::hidden) return;
    const auto payload = encode_event(e, view, encode_cursor(span->at(e.id), *span->history));
    connection_.send(
        std::make_shared<const outbound_frame>(
            encode_broadcast(id_.version, id_.wire_topic, e.table, {*payload}), span, e.id),
        feed_number);
  }

  simulated_shard& shard_;
  simulated_connection& connection_;
  identity id_;
  std::uint32_t number_;
  feed_fsm fsm_;
  waits waits_ = waits::nothing;
  bool is_joined_ = false;
  bool is_resumed_ = false;
  std::optional<position> from_;
  snapshot taken_;
  simulated_database::page page_;
  std::size_t page_events_ = 1;
  std::optional<unsigned> renewal_;
  std::optional<std::pair<unsigned, position>> mark_;
  subscription membership_;
};

inline void simulated_connection::flush(std::size_t bytes) {
  std::array<std::string_view, 32> pieces;
  while (bytes > 0 && !queue_.is_empty()) {
    const auto filled = queue_.pieces(pieces);
    std::size_t count = 0;
    for (std::size_t i = 0; i < filled && bytes > 0; ++i) {
      const auto taken = std::min(bytes, pieces[i].size());
      in_socket_.append(pieces[i].substr(0, taken));
      count += taken;
      bytes -= taken;
    }
    queue_.consume(count);
  }
  if (!queue_.is_empty() || !std::exchange(is_parked_, false)) return;
  for (auto* f : feeds_) f->unpark();
}

inline void simulated_connection::park_if_full() {
  if (queue_.row_bytes() <= limit_) return;
  ++shard_.paths["client parked"];
  is_parked_ = true;
  for (auto* f : feeds_) f->park(queue_);
  shard_.paths["row dropped from a queue"] += queue_.drop_rows();
}

}  // namespace pgcast
