#include "protocol/ticker.hpp"

#include <algorithm>

namespace pgcast {
namespace {

constexpr std::size_t k_missed_events = 64;  // of a session; with more it is asked again anyway

}  // namespace

// ---- questions and answers

const ticker::question& ticker::ask() {
  question q;
  q.is_of_all = is_all_due_;
  if (!is_all_due_) q.sessions.assign(due_.begin(), due_.end());
  asked_ = std::move(due_);
  due_.clear();
  is_all_due_ = false;
  missed_.clear();
  return asking_.emplace(std::move(q));
}

void ticker::give_up() {
  if (asking_->is_of_all) is_all_due_ = true;
  due_.merge(asked_);
  asking_.reset();
  asked_.clear();
  missed_.clear();
}

void ticker::take_answers(const position& at, const std::vector<answer>& found) {
  const auto behind = std::make_shared<seam>();
  behind->open(at);
  if (asking_->is_of_all) {
    sessions_.clear();
    objectives_.clear();
    total_ = {};
    is_last_activity_known_ = true;
    is_warm_ = true;
  }
  for (const auto& session : asking_->sessions) remove(session);
  for (const auto& one : found) {
    if (one.campaign == campaign_) put(one, behind);
  }
  for (const auto& [session, events] : missed_) {
    const bool sees_all = std::all_of(events.begin(), events.end(), [&](const missed_event& e) {
      if (e.incarnation != at.incarnation) return e.incarnation < at.incarnation;
      return at.s1->sees(e.xid);
    });
    if (!sees_all || events.size() >= k_missed_events) due_.insert(session);
  }
  asking_.reset();
  asked_.clear();
  missed_.clear();
}

void ticker::ask_all_again() {
  is_all_due_ = true;
  due_.clear();
}

// ---- events

void ticker::on_event(const event& e, const batch_span& span, event_sides sides) {
  const auto kind = e.description == nullptr ? counted_as::nothing : e.description->counts;
  on_incarnation(span.start.incarnation);
  if (kind == counted_as::nothing || is_all_due_) return;
  const auto rows = e.op == operation::truncate ? std::nullopt : read_counted_rows(e);
  if (!rows) return ask_all_again();
  if (kind == counted_as::session) {
    on_session_row(*rows, e, span, sides);
  } else {
    on_row_of_session(*rows, e, span, sides);
  }
}

void ticker::on_incarnation(std::uint32_t number) {
  if (incarnation_ && *incarnation_ != number) ask_all_again();
  incarnation_ = number;
}

/// True if nothing need be done about the session now: it is being asked, or will be.
bool ticker::is_left_to_an_answer(const std::string& session, const event& e,
                                  const batch_span& span) {
  if (due_.contains(session)) return true;
  if (!asking_ || !(asking_->is_of_all || asked_.contains(session))) return false;
  auto& events = missed_[session];
  if (events.size() < k_missed_events) events.push_back({span.start.incarnation, e.xid});
  return true;
}

bool ticker::has_seen(entry& known, const event& e, const batch_span& span) {
  if (!known.asked_at) return false;
  const auto verdict = known.asked_at->judge(e, span);
  if (verdict == seam::verdict::deliver) known.asked_at.reset();
  return verdict == seam::verdict::drop;
}

ticker::entry* ticker::find(const std::string& session) {
  const auto found = sessions_.find(session);
  return found == sessions_.end() ? nullptr : &found->second;
}

void ticker::on_session_row(const counted_rows& rows, const event& e, const batch_span& span,
                            event_sides sides) {
  const auto* before = rows.before && sides.old_row ? &*rows.before : nullptr;
  const auto* after = rows.after && sides.new_row ? &*rows.after : nullptr;
  const bool stays = before != nullptr && after != nullptr && before->session == after->session;
  for (const auto* row : {before, after}) {
    if (row == nullptr || !row->session || (stays && row == before)) continue;
    const auto& session = *row->session;
    if (is_left_to_an_answer(session, e, span)) continue;
    auto* known = find(session);
    if (known != nullptr && has_seen(*known, e, span)) continue;
    if (row == before) {
      remove(session);
    } else if (stays && known != nullptr) {
      change(*known, counted_as::session, before, after);
      if (!change_times(*known, before, after)) due_.insert(session);
    } else {
      due_.insert(session);  // with rows of which nobody has told
    }
  }
}

void ticker::on_row_of_session(const counted_rows& rows, const event& e, const batch_span& span,
                               event_sides sides) {
  const auto* before = rows.before && sides.old_row ? &*rows.before : nullptr;
  const auto* after = rows.after && sides.new_row ? &*rows.after : nullptr;
  const bool stays = before != nullptr && after != nullptr && before->session == after->session;
  const auto fold = [&](const counted_row* lost, const counted_row* gained) {
    const auto& session = (lost != nullptr ? lost : gained)->session;
    if (!session || is_left_to_an_answer(*session, e, span)) return;
    auto* known = find(*session);
    if (known == nullptr || has_seen(*known, e, span)) return;
    change(*known, e.description->counts, lost, gained);
    if (!change_times(*known, lost, gained)) due_.insert(*session);
  };
  if (stays) return fold(before, after);
  if (before != nullptr) fold(before, nullptr);
  if (after != nullptr) fold(nullptr, after);
}

// ---- sums

void ticker::change(entry& known, counted_as kind, const counted_row* before,
                    const counted_row* after) {
  const auto add = [&](const counted_row& row, int sign) {
    const auto add_to = [&](row_sums& sum) {
      if (kind == counted_as::message) {
        sum.messages += sign;
        sum.user_messages += row.side == message_side::user ? sign : 0;
        sum.agent_messages += row.side == message_side::agent ? sign : 0;
      } else if (kind == counted_as::call) {
        sum.calls += sign;
        sum.call_us += sign * row.call_us;
      }
    };
    add_to(known);
    add_to(total_);
  };
  if (kind != counted_as::session) {
    if (before != nullptr) add(*before, -1);
    if (after != nullptr) add(*after, +1);
    return;
  }
  total_.active += (after->is_active ? 1 : 0) - (known.is_active ? 1 : 0);
  known.is_active = after->is_active;
  if (before->objectives == after->objectives) return;
  const auto old = std::move(known.objectives);
  known.objectives = count_objectives(after->objectives);
  forget_objectives(old);
}

/// False if the session's latest time is not known any more: the row that had it has none now.
bool ticker::change_times(entry& known, const counted_row* before, const counted_row* after) {
  const auto old = before != nullptr ? before->last_activity_us() : std::nullopt;
  const auto now = after != nullptr ? after->last_activity_us() : std::nullopt;
  if (now < old && old >= known.last_activity_us) return false;
  if (now <= known.last_activity_us) return true;
  known.last_activity_us = now;
  if (is_last_activity_known_) total_.last_activity_us = std::max(total_.last_activity_us, now);
  return true;
}

std::vector<objective_counts::iterator> ticker::count_objectives(
    const std::vector<std::string>& met) {
  std::vector<objective_counts::iterator> out;
  out.reserve(met.size());
  for (const auto& name : met) {
    out.push_back(objectives_.try_emplace(name, 0).first);
    ++out.back()->second;
  }
  return out;
}

void ticker::forget_objectives(const std::vector<objective_counts::iterator>& met) {
  for (const auto& one : met) {
    if (--one->second == 0) objectives_.erase(one);
  }
}

void ticker::count(const entry& e, int sign) {
  total_.active += e.is_active ? sign : 0;
  total_.messages += sign * e.messages;
  total_.user_messages += sign * e.user_messages;
  total_.agent_messages += sign * e.agent_messages;
  total_.calls += sign * e.calls;
  total_.call_us += sign * e.call_us;
}

void ticker::put(const answer& one, const std::shared_ptr<seam>& at) {
  auto& e = sessions_[one.session];
  e = entry{one.numbers, one.numbers.is_active, count_objectives(one.numbers.objectives), at};
  count(e, +1);
  if (is_last_activity_known_) {
    total_.last_activity_us = std::max(total_.last_activity_us, e.last_activity_us);
  }
}

void ticker::remove(const std::string& session) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  count(found->second, -1);
  forget_objectives(found->second.objectives);
  if (found->second.last_activity_us >= total_.last_activity_us) is_last_activity_known_ = false;
  sessions_.erase(found);
}

void ticker::find_last_activity() {
  if (is_last_activity_known_) return;
  total_.last_activity_us.reset();
  for (const auto& [session, e] : sessions_) {
    total_.last_activity_us = std::max(total_.last_activity_us, e.last_activity_us);
  }
  is_last_activity_known_ = true;
}

std::string ticker::numbers() {
  find_last_activity();
  auto totals = total_;
  totals.sessions = static_cast<std::int64_t>(sessions_.size());
  return stats_members(campaign_, totals, objectives_);
}

}  // namespace pgcast
