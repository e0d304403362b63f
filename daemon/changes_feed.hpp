#pragma once

#include "daemon/feed.hpp"
#include "protocol/change_spec.hpp"

#include <optional>
#include <string>
#include <vector>

namespace pgcast {

/// The changes of tables that a channel's `postgres_changes` bindings ask for. Without a cursor it
/// is live at once; with one, what came after it is read out of the outbox first.
class changes_feed : public feed {
 public:
  changes_feed(shard_services& services, feed_owner& owner, std::uint32_t number,
               std::shared_ptr<viewer_class> viewer, std::vector<change_binding> bindings);

  /// Checks what the bindings ask for, then registers with the hub. `held` is the place that was
  /// kept for this client, if there is one; a binding's own cursor comes before it. Fails with the
  /// errors of change_spec::check(), or that of the database.
  boost::asio::awaitable<result<void>> prepare(std::optional<position> held);
  /// Goes live. The join is answered by now.
  boost::asio::awaitable<void> start();
  /// Other rights: asked again, then in force without a gap.
  boost::asio::awaitable<void> renew(std::shared_ptr<viewer_class> viewer);
  /// Takes over columns and grants that have changed. Called about four times a second.
  void refresh();

  void end() override;
  void on_event(delivery& d) override;
  const std::vector<change_binding>& bindings() const { return spec_->bindings(); }
  /// For bindings that begin now and want to resume later: where that is. "" for others.
  std::string first_cursor() const;

 private:
  replay_query query() const override;
  bool wants(const event& e) const override;
  event_sides sides_of(const replay_page::item& item, visibility seen) const override;
  void send_row(const std::shared_ptr<const batch_span>& span, const event& e, event_sides sides,
                std::uint32_t feed_number) override;
  boost::asio::awaitable<std::optional<position>> start_afresh() override;
  void learn(const visibility_map& visible) override;

  boost::asio::awaitable<result<void>> read_cursors(const std::optional<position>& held);
  void register_keys();
  void take_over(std::shared_ptr<const table_shapes> shapes);
  boost::asio::awaitable<void> read_shapes();
  std::vector<bool> wanted(const batch_span& span, const event& e);

  std::shared_ptr<change_spec> spec_;
  std::vector<subscription> places_;
  std::shared_ptr<const table_shapes> registered_shapes_;  ///< what places_ were found by
  std::vector<std::optional<position>> from_;              ///< of each binding; nullopt: from now
  std::vector<error> refused_;                             ///< cursors, to be told after the answer
  std::uint64_t last_event_ = 0;
  unsigned renewals_ = 0;
};

}  // namespace pgcast
