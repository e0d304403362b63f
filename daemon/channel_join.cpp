#include "daemon/channel.hpp"
#include "daemon/metrics.hpp"
#include "daemon/random_uuid.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <spdlog/spdlog.h>

#include <array>
#include <cstring>

// How a channel is joined: what is asked for it and in which order it begins.

namespace pgcast {
namespace asio = boost::asio;
namespace {

/// A client that named itself has the same key when it is back.
std::string make_presence_key(const place_key& place, const std::string& wire_topic) {
  if (place.client_id.empty()) return random_uuid();
  const auto digest = place_key{place.client_id, "", "", wire_topic, "presence"}.digest();
  std::array<std::uint32_t, 4> bits{};
  std::memcpy(bits.data(), digest.data(), sizeof bits);
  return make_uuid(bits);
}

}  // namespace

void channel::join(join_request request, std::vector<change_binding> bindings, std::string ref,
                   std::shared_ptr<unsigned> running, place_key place) {
  wants_own_broadcasts_ = request.broadcast_self;
  wants_broadcast_acks_ = request.broadcast_ack;
  wants_replication_ready_ = request.wants_replication_ready;
  presence_key_ = std::move(request.presence_key);
  if (presence_key_.empty()) presence_key_ = make_presence_key(place, id_.wire_topic);
  if (request.presence_enabled) enable_presence();
  if (id_.name.is_private) rights_ = {};
  const bool is_of_numbers = id_.name.kind == topic_kind::stats;
  if (id_.name.kind == topic_kind::plain || is_of_numbers) {
    audience as{viewer_, version_, id_.wire_topic, audience::part::member};
    membership_ =
        services_.topics.subscribe(topic_key(id_.name), id_.name.kind, std::move(as), *this);
  } else {
    rows_ = std::make_unique<topic_feed>(services_, *this, owner_->next_feed_number(), viewer_,
                                         id_.name, request);
  }
  if (is_of_numbers) {
    numbers_ = std::make_unique<stats_feed>(services_, *this, owner_->next_feed_number(), viewer_,
                                            id_.name);
  }
  if (!bindings.empty()) {
    changes_ = std::make_unique<changes_feed>(services_, *this, owner_->next_feed_number(), viewer_,
                                              std::move(bindings));
  }
  if (request.replay) {
    kept_ = std::make_unique<broadcast_feed>(services_, *this, owner_->next_feed_number(), viewer_,
                                             id_.name, *request.replay);
  }
  if (!has_feeds() && !id_.name.is_private) {
    answer_joined(ref);
    return begin();
  }
  if (carries_rows() && !place.client_id.empty()) {
    key_ = std::make_unique<place_key>(std::move(place));
  }
  if (changes_ && request.waits_for_changes) spawn(refuse_late(ref, request.changes_timeout));
  ++*running;
  spawn(run_join(std::move(ref), std::move(running)));
}

asio::awaitable<void> channel::run_join(std::string ref, std::shared_ptr<unsigned> running) {
  co_await answer_join(std::move(ref));
  --*running;
}

asio::awaitable<void> channel::answer_join(std::string ref) {
  if (id_.name.is_private) {
    auto asked = co_await ask_rights();
    if (has_ended()) co_return;
    if (!asked) co_return refuse(ref, asked.error());
  }
  std::optional<held_place> held;
  if (key_) {
    place_key key = *key_;
    co_await owner_->settle_place(std::move(key));
    if (has_ended()) co_return;
    held = owner_->take_place(*key_);
  }
  if (held) acknowledged_ = *held;  // that much the client has, should it drop once more
  result<void> prepared{};
  if (rows_) {
    std::optional<position> at;
    if (held) at = held->rows;
    prepared = co_await rows_->prepare(std::move(at));
    if (has_ended()) co_return;
  }
  if (prepared && changes_) {
    std::optional<position> at;
    if (held) at = held->changes;
    prepared = co_await changes_->prepare(std::move(at));
    if (has_ended()) co_return;
  }
  if (prepared && kept_) {
    prepared = co_await kept_->prepare();
    if (has_ended()) co_return;
  }
  if (prepared && numbers_) {
    prepared = co_await numbers_->prepare();
    if (has_ended()) co_return;
  }
  if (!prepared) co_return refuse(ref, prepared.error());
  answer_joined(ref);
  if (kept_) {
    co_await kept_->start();
    if (has_ended()) co_return;
  }
  begin();
  if (numbers_) numbers_->start();
  if (changes_) spawn(changes_->start());
  if (rows_) co_await rows_->start();
}

void channel::answer_joined(const std::string& ref) {
  is_joined_ = true;
  if (late_) late_->cancel();
  metrics().joins[join_outcome::ok].add();
  std::string bindings = "[]";
  if (changes_) bindings = bindings_reply(changes_->bindings());
  reply(ref, "ok", R"({"postgres_changes":)" + bindings + "}");
  owner_->on_channel_joined(*this);
}

/// Once the source has said where it begins, nothing that is sent from the database is missed.
void channel::tell_when_ready() {
  if (!wants_replication_ready_ || services_.topics.published().history->epoch == 0) return;
  wants_replication_ready_ = false;
  tell({"system", "ok", "", "Replication connection established"});
}

/// What follows the answer, after broadcasts that are replayed.
void channel::begin() {
  if (presence_) push_presence_state();
  if (changes_) {
    tell({"postgres_changes", "ok", "", "Subscribed to PostgreSQL", changes_->first_cursor()});
  }
  if (carries_rows() && !fallback_.empty()) {
    tell({"pgcast", "ok", "joined_as", "joined as role " + who_.role + ": " + fallback_});
  }
  tell_when_ready();
}

/// Who waits for his changes wants to know when they do not begin.
asio::awaitable<void> channel::refuse_late(std::string ref, std::chrono::milliseconds timeout) {
  late_ = std::make_unique<asio::steady_timer>(services_.executor, timeout);
  boost::system::error_code ended;  // by end(), or by the answer
  co_await late_->async_wait(asio::redirect_error(asio::use_awaitable, ended));
  if (has_ended() || is_joined_) co_return;
  refuse(ref, {errc::subscribe_timeout, "Timed out after " + std::to_string(timeout.count()) +
                                            "ms waiting for the postgres_changes subscription"});
}

void channel::refuse(const std::string& ref, const error& e) {
  const bool is_malformed = e.code == errc::binding_malformed || e.code == errc::filter_malformed;
  const auto outcome = e.code == errc::unauthorized ? join_outcome::unauthorized
                       : is_malformed               ? join_outcome::malformed
                                                    : join_outcome::unavailable;
  metrics().joins[outcome].add();
  const bool is_told = outcome != join_outcome::unavailable || e.code == errc::subscribe_timeout ||
                       e.code == errc::not_installed || e.code == errc::campaign_too_large;
  const error told =
      is_told ? e : error{errc::source_unavailable, "the database cannot answer now, try again"};
  if (!is_told) spdlog::warn("join of {} failed: {}", id_.wire_topic, e.detail);
  reply_error(ref, told);
  owner_->on_channel_refused(*this, told);
  owner_->on_channel_ended(*this);
}

}  // namespace pgcast
