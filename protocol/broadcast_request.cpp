#include "protocol/broadcast_request.hpp"

#include "protocol/json_document.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>

namespace pgcast {
namespace {

constexpr std::string_view k_blank = "can't be blank";
constexpr std::string_view k_invalid = "is invalid";
constexpr std::size_t k_binary_name_bytes = 255 - std::string_view{"realtime:"}.size();
constexpr double k_longest_ttl = 1e9;  // seconds

struct fault {
  std::string_view field;
  std::string text;
  errc code = errc::payload_malformed;
};

/// A message as it came, and what is wrong with it.
struct said_message {
  std::optional<std::string> topic;
  std::optional<std::string> event;
  std::optional<std::string> payload;
  payload_encoding encoding = payload_encoding::json;
  bool is_private = false;
  std::optional<keeping> keep;
  std::vector<fault> faults;

  void refuse(std::string_view field, std::string_view text, errc code = errc::payload_malformed) {
    faults.push_back({field, std::string{text}, code});
  }
};

/// What Postgres and JSON both can carry.
bool is_text(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size()) &&
         text.find('\0') == std::string_view::npos;
}

/// Adds the faults that do not depend on how the message came; gives the message if there are none.
requested_broadcast check(said_message& said, const relay_description& description,
                          const broadcast_limits& limits) {
  requested_broadcast out;
  out.event = said.event.value_or("");
  out.encoding = said.encoding;
  if (out.event.empty()) said.refuse("event", k_blank);
  if (!is_text(out.event)) said.refuse("event", k_invalid);
  const auto name = said.topic.value_or("");
  if (name.empty()) {
    said.refuse("topic", k_blank);
  } else if (auto parsed = parse_topic(name); parsed && is_text(name)) {
    out.to = *std::move(parsed);
    out.to.is_private = said.is_private && out.to.kind == topic_kind::plain;
    if (description.reserves(out.to, out.event)) {
      said.refuse("event", "is reserved: only the server sends it on this topic",
                  errc::reserved_event);
    }
  } else {
    said.refuse("topic", k_invalid);
  }
  if (!said.payload) {
    said.refuse("payload", k_blank);
  } else if (said.payload->size() > limits.payload_bytes) {
    said.refuse("payload", "Payload size exceeds tenant limit", errc::payload_too_large);
  } else {
    out.payload = std::move(*said.payload);
  }
  if (said.encoding == payload_encoding::binary) {
    if (name.size() > k_binary_name_bytes) said.refuse("topic", "is too long for bytes");
    if (out.event.size() > 255) said.refuse("event", "is too long for bytes");
  }
  if (said.keep && !said.is_private && out.to.kind == topic_kind::plain) {
    said.refuse("persist", "can only be used on private channels");
  }
  out.keep = said.keep;
  return out;
}

/// {"topic":["can't be blank"],"event":[..]}
std::string to_json(const std::vector<fault>& faults) {
  std::string out = "{";
  std::vector<std::string_view> done;
  for (const auto& f : faults) {
    if (std::find(done.begin(), done.end(), f.field) != done.end()) continue;
    if (!done.empty()) out += ',';
    done.push_back(f.field);
    out += json_quote(f.field) + ":[";
    bool is_first = true;
    for (const auto& same : faults) {
      if (same.field != f.field) continue;
      if (!std::exchange(is_first, false)) out += ',';
      append_json_quoted(out, same.text);
    }
    out += ']';
  }
  return out + '}';
}

/// Takes the faults of one message into the answer.
void add(refused_broadcast& refused, const std::vector<fault>& faults, const std::string& where) {
  for (const auto& f : faults) {
    if (f.code == errc::reserved_event) ++refused.reserved_events;
    if (!refused.sentence.empty()) continue;
    refused.code = f.code;
    refused.sentence = where + std::string{f.field} + " " + f.text;
  }
}

refused_broadcast refuse_batch(std::string text) {
  return {errc::payload_malformed, "messages " + text, R"({"messages":[)" + json_quote(text) + "]}",
          0};
}

/// true and false, also as text.
std::optional<bool> flag_of(json_value value) {
  const auto token = raw_scalar(value);
  if (token == "true" || token == "\"true\"") return true;
  if (token == "false" || token == "\"false\"" || token == "null") return false;
  return std::nullopt;
}

void read_text(json_value value, std::string_view field, std::optional<std::string>& out,
               said_message& said) {
  out.reset();
  if (is_null(value)) return;
  out = string_of(value);
  if (out) return;
  said.refuse(field, k_invalid);
  out = "?";  // there is something: it is not blank
}

said_message read_message(json_value value) {
  said_message said;
  const bool is_message = for_each_member(value, [&](std::string_view key, json_value member) {
    if (key == "topic") read_text(member, key, said.topic, said);
    if (key == "event") read_text(member, key, said.event, said);
    if (key == "payload") {
      said.payload.reset();
      if (is_null(member)) return;
      if (!is_object(member)) said.refuse("payload", k_invalid);
      said.payload = raw_json(member);
    }
    if (key == "private") {
      const auto flag = flag_of(member);
      if (!flag) said.refuse("private", k_invalid);
      said.is_private = flag.value_or(false);
    }
  });
  if (!is_message) said.refuse("message", k_invalid);
  return said;
}

std::optional<keeping> keep_for(double seconds) {
  if (!(seconds >= 1 && seconds <= k_longest_ttl)) return std::nullopt;
  return keeping{std::chrono::seconds{std::llround(std::floor(seconds))}};
}

/// persist=true, persist=false, or persist[ttl]=<seconds>.
void read_persist(const single_request& from, said_message& said) {
  if (from.persist == "true") said.keep = keeping{};
  if (from.persist && *from.persist != "true" && *from.persist != "false") {
    said.refuse("persist", k_invalid);
  }
  if (!from.ttl) return;
  const auto* end = from.ttl->data() + from.ttl->size();
  unsigned long seconds = 0;
  const auto [at, wrong] = std::from_chars(from.ttl->data(), end, seconds);
  if (wrong == std::errc{} && at == end) said.keep = keep_for(static_cast<double>(seconds));
  if (!said.keep || !said.keep->ttl) {
    said.refuse("persist", "takes a ttl in whole seconds, from 1");
  }
}

}  // namespace

void throw_exception_from_error(const refused_broadcast& e, const boost::source_location&) {
  throw std::runtime_error(e.sentence);
}

broadcast_result<std::vector<requested_broadcast>> parse_batch(std::string_view json,
                                                               const relay_description& description,
                                                               const broadcast_limits& limits) {
  json_document document(json);
  if (!document.is_valid()) return refuse_batch("cannot be read: the body is not JSON");
  std::vector<requested_broadcast> out;
  refused_broadcast refused;
  std::string errors;
  bool is_list = false;
  std::size_t count = 0;
  for_each_member(document.root(), [&](std::string_view key, json_value value) {
    if (key != "messages") return;
    is_list = for_each_element(value, [&](json_value element) {
      if (++count > limits.messages) return;
      auto said = read_message(element);
      out.push_back(check(said, description, limits));
      add(refused, said.faults, "messages[" + std::to_string(count - 1) + "].");
      errors += (errors.empty() ? "" : ",") + to_json(said.faults);
    });
  });
  if (!is_list || count == 0) return refuse_batch(std::string{k_blank});
  if (count > limits.messages) {
    return refuse_batch("are too many, please reduce the batch size to " +
                        std::to_string(limits.messages));
  }
  if (refused.sentence.empty()) return out;
  refused.errors = R"({"messages":[)" + errors + "]}";
  return refused;
}

broadcast_result<requested_broadcast> check_single(single_request from,
                                                   const relay_description& description,
                                                   const broadcast_limits& limits) {
  said_message said;
  read_persist(from, said);
  said.topic = std::move(from.topic);
  said.event = std::move(from.event);
  said.encoding = from.encoding;
  said.is_private = from.is_private;
  const bool is_json_payload = from.encoding == payload_encoding::json;
  const bool is_too_large = from.payload.size() > limits.payload_bytes;
  if (is_json_payload && !is_too_large) {
    json_document document(from.payload);
    if (!document.is_valid() && !from.payload.empty()) said.refuse("payload", "is not JSON");
    const bool is_blank = from.payload.empty() || (document.is_valid() && is_null(document.root()));
    if (!is_blank) said.payload = std::move(from.payload);
  } else {
    said.payload = std::move(from.payload);
  }
  auto out = check(said, description, limits);
  if (said.faults.empty()) return out;
  refused_broadcast refused;
  add(refused, said.faults, "");
  refused.errors = to_json(said.faults);
  return refused;
}

result<std::optional<keeping>> parse_push_metadata(std::string_view json) {
  std::optional<keeping> keep;
  if (json.empty()) return keep;
  bool is_valid = true;
  json_document document(json);
  if (!document.is_valid()) return error{errc::payload_malformed, "the metadata is not JSON"};
  for_each_member(document.root(), [&](std::string_view key, json_value value) {
    if (key != "persist") return;
    keep.reset();
    if (const auto flag = flag_of(value)) {
      if (*flag) keep = keeping{};
      return;
    }
    is_valid = false;
    for_each_member(value, [&](std::string_view name, json_value ttl) {
      if (name != "ttl") return;
      keep = keep_for(number_of(ttl).value_or(0));
      is_valid = keep.has_value();
    });
  });
  if (is_valid) return keep;
  return error{errc::payload_malformed, "persist takes true or a ttl in seconds, from 1"};
}

}  // namespace pgcast
