#include "protocol/join.hpp"

#include "protocol/json_document.hpp"

#include <algorithm>
#include <cctype>

namespace pgcast {
namespace {

bool is_word(std::string_view text, std::string_view word) {
  return std::equal(text.begin(), text.end(), word.begin(), word.end(), [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == b;
  });
}

/// true, false, or those words in any case; `otherwise` for all else.
bool flag_of(json_value value, bool otherwise) {
  std::string_view token = raw_scalar(value);
  if (token.size() > 2 && token.front() == '"') token = token.substr(1, token.size() - 2);
  if (is_word(token, "true")) return true;
  if (is_word(token, "false")) return false;
  return otherwise;
}

/// A text that may be used as a token: the keys of a project are not.
std::string token_of(json_value value) {
  auto text = string_of(value).value_or("");
  return text.starts_with("sb_") ? std::string() : text;
}

/// A whole number from 0; `most` at most, and for all else.
unsigned size_of(json_value value, unsigned most) {
  const auto number = number_of(value);
  if (!number || *number < 0 || *number >= most) return most;
  return static_cast<unsigned>(*number);
}

void read_snapshot(json_value value, join_request& out) {
  out.wants_snapshot = flag_of(value, true);
  for_each_member(value, [&](std::string_view key, json_value size) {
    const join_request::snapshot_sizes most;
    if (key == "messages") out.sizes.messages = size_of(size, most.messages);
    if (key == "calls") out.sizes.calls = size_of(size, most.calls);
    if (key == "sessions") out.sizes.sessions = size_of(size, most.sessions);
  });
}

/// A string decoded, anything else as it stands.
std::string text_or_raw(json_value value) {
  const bool is_text = raw_scalar(value).starts_with('"');
  return is_text ? string_of(value).value_or("") : std::string(raw_json(value));
}

/// What is no cursor is kept as it stands, so that it is refused as one and never overlooked.
void read_resume(json_value value, join_request& out) {
  out.resume_cursor.reset();
  out.resume_since.reset();
  if (is_null(value) || !flag_of(value, true)) return;
  if (!is_object(value)) {
    out.resume_cursor = text_or_raw(value);
    return;
  }
  for_each_member(value, [&](std::string_view key, json_value since) {
    if (key == "since" && !is_null(since)) out.resume_since = text_or_raw(since);
  });
  if (!out.resume_since) out.resume_cursor = "{}";
}

/// Whole numbers only, as Supabase Realtime has it; a limit out of its range is moved into it.
void read_replay(json_value value, join_request& out) {
  out.replay.reset();
  out.wants_replay = !is_null(value);
  if (!out.wants_replay) return;
  constexpr double k_last_ms = 253'402'300'799'999;  // of the year 9999
  constexpr double k_most = join_request::replay_wish::k_most;
  std::optional<double> since;
  std::optional<double> limit = join_request::replay_wish{}.limit;
  for_each_member(value, [&](std::string_view key, json_value member) {
    if (key == "since") since = number_of(member);
    if (key == "limit" && !is_null(member)) limit = number_of(member);
  });
  if (!since || *since < 0 || *since > k_last_ms || !limit) return;
  out.replay = {static_cast<std::int64_t>(*since),
                static_cast<unsigned>(std::clamp(*limit, 1.0, k_most))};
}

void read_broadcast(json_value value, join_request& out) {
  for_each_member(value, [&](std::string_view key, json_value member) {
    if (key == "ack") out.broadcast_ack = flag_of(member, false);
    if (key == "self") out.broadcast_self = flag_of(member, false);
    if (key == "replication_ready") out.wants_replication_ready = flag_of(member, false);
    if (key == "snapshot") read_snapshot(member, out);
    if (key == "resume") read_resume(member, out);
    if (key == "replay") read_replay(member, out);
  });
}

/// A key may also be a number or a boolean; its text is the key then.
std::string presence_key_of(json_value value) {
  const auto raw = raw_scalar(value);
  if (raw.starts_with('"')) return string_of(value).value_or("");
  return raw == "null" ? std::string() : std::string(raw);
}

void read_presence(json_value value, join_request& out) {
  for_each_member(value, [&](std::string_view key, json_value member) {
    if (key == "enabled") out.presence_enabled = flag_of(member, false);
    if (key == "key") out.presence_key = presence_key_of(member);
  });
}

void read_bindings(json_value value, join_request& out) {
  out.postgres_changes.clear();
  for_each_element(value, [&](json_value binding) {
    if (is_object(binding)) out.postgres_changes.emplace_back(raw_json(binding));
  });
}

/// {"wait": true, "timeout": ms}; Supabase Realtime answers after 20 s at the latest.
void read_changes_options(json_value value, join_request& out) {
  constexpr unsigned longest = 20'000;
  for_each_member(value, [&](std::string_view key, json_value member) {
    if (key == "wait") out.waits_for_changes = flag_of(member, false);
    if (key == "timeout" && !is_null(member)) {
      out.changes_timeout = std::chrono::milliseconds{size_of(member, longest)};
    }
  });
}

void read_config(json_value value, join_request& out) {
  for_each_member(value, [&](std::string_view key, json_value member) {
    if (key == "broadcast") read_broadcast(member, out);
    if (key == "presence") read_presence(member, out);
    if (key == "postgres_changes") read_bindings(member, out);
    if (key == "postgres_changes_options") read_changes_options(member, out);
    if (key == "private") out.is_private = flag_of(member, false);
  });
}

}  // namespace

result<join_request> parse_join(std::string_view payload_json) {
  json_document document(payload_json);
  if (!document.is_valid() || !is_object(document.root())) {
    return error{errc::payload_malformed, "payload of phx_join is not a JSON object"};
  }
  join_request out;
  std::string user_token;  // of clients from before access_token
  for_each_member(document.root(), [&](std::string_view key, json_value value) {
    if (key == "config") read_config(value, out);
    if (key == "access_token") out.access_token = token_of(value);
    if (key == "user_token") {
      out.has_user_token = true;
      user_token = token_of(value);
    }
  });
  if (out.access_token.empty()) out.access_token = std::move(user_token);
  for_each_member(document.root(), [&](std::string_view key, json_value value) {
    if (key == "config") out.options = raw_json(value);
  });
  return out;
}

}  // namespace pgcast
