#include "protocol/frame.hpp"

#include <openssl/evp.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

namespace pgcast {
namespace {

using step = frame_parser::step;

constexpr std::uint8_t k_continuation = 0;
constexpr std::uint64_t k_max_control_bytes = 125;  // RFC 6455, section 5.5
constexpr std::size_t k_max_head_bytes = 14;        // 2, length of 8, mask of 4
constexpr std::uint16_t k_protocol_error = 1002;
constexpr std::uint16_t k_bad_utf8 = 1007;
constexpr std::uint16_t k_too_large = 1009;

struct frame_head {
  std::uint8_t op = 0;
  bool is_final = false;
  std::uint64_t length = 0;
  std::array<char, 4> mask{};
  std::size_t head_bytes = 0;

  bool is_control() const { return (op & 0x8) != 0; }
  bool is_whole_message() const { return is_control() || (is_final && op != k_continuation); }
};

step violation(std::uint16_t code, std::string_view reason) {
  return {step::kind::violation, opcode::close, {}, code, reason};
}

/// What the first two bytes alone give away; empty if all is well.
std::string_view objection_to(std::uint8_t first, std::uint8_t second) {
  const std::uint8_t op = first & 0x0f;
  if ((first & 0x70) != 0) return "reserved bits are set";
  if (op > 10 || (op > 2 && op < 8)) return "reserved opcode";
  if ((second & 0x80) == 0) return "frame is not masked";
  if ((op & 0x8) == 0) return {};
  if ((first & 0x80) == 0) return "fragmented control frame";
  if ((second & 0x7f) > k_max_control_bytes) return "control frame is too long";
  return {};
}

std::uint64_t big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<std::uint8_t>(c);
  return value;
}

/// Empty while more bytes are needed; an objection as soon as one is certain.
struct head_result {
  std::optional<frame_head> head;
  std::string_view objection;
};

/// The head at the start of `bytes`.
head_result decode_head(std::string_view bytes) {
  if (bytes.size() < 2) return {};
  const auto first = static_cast<std::uint8_t>(bytes[0]);
  const auto second = static_cast<std::uint8_t>(bytes[1]);
  if (const auto objection = objection_to(first, second); !objection.empty()) {
    return {std::nullopt, objection};
  }
  frame_head head;
  head.op = first & 0x0f;
  head.is_final = (first & 0x80) != 0;
  head.length = second & 0x7f;
  const std::size_t length_bytes = head.length == 127 ? 8 : head.length == 126 ? 2 : 0;
  if (bytes.size() < 2 + length_bytes) return {};
  if (length_bytes > 0) {
    head.length = big_endian(bytes.substr(2, length_bytes));
    if (head.length < (length_bytes == 2 ? 126U : 65'536U)) {
      return {std::nullopt, "length is not in its shortest form"};
    }
  }
  head.head_bytes = 2 + length_bytes + head.mask.size();
  if (bytes.size() < head.head_bytes) return {};
  bytes.copy(head.mask.data(), head.mask.size(), 2 + length_bytes);
  return {head, {}};
}

/// Unmasks `bytes` and turns `mask` so that it fits the byte behind them.
void unmask(std::span<char> bytes, std::array<char, 4>& mask) {
  std::array<char, 8> twice{};
  for (std::size_t i = 0; i < twice.size(); ++i) twice[i] = mask[i % mask.size()];
  std::uint64_t wide_mask = 0;
  std::memcpy(&wide_mask, twice.data(), sizeof wide_mask);

  std::size_t at = 0;
  for (; at + sizeof wide_mask <= bytes.size(); at += sizeof wide_mask) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    word ^= wide_mask;
    std::memcpy(bytes.data() + at, &word, sizeof word);
  }
  for (; at < bytes.size(); ++at) bytes[at] = static_cast<char>(bytes[at] ^ mask[at % 4]);
  std::rotate(mask.begin(), mask.begin() + static_cast<std::ptrdiff_t>(bytes.size() % 4),
              mask.end());
}

bool is_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

/// Codes that a peer may send: RFC 6455, section 7.4, and 1012 to 1014 of IANA's registry.
bool is_close_code(std::uint64_t code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

/// A whole message, or the violation that its payload is.
step deliver(opcode op, std::string_view payload) {
  if (op == opcode::text && !is_utf8(payload)) return violation(k_bad_utf8, "text is not UTF-8");
  if (op == opcode::close && !payload.empty()) {
    if (payload.size() < 2 || !is_close_code(big_endian(payload.substr(0, 2)))) {
      return violation(k_protocol_error, "bad close code");
    }
    if (!is_utf8(payload.substr(2))) return violation(k_bad_utf8, "close reason is not UTF-8");
  }
  return {step::kind::message, op, payload, 0, {}};
}

/// The bytes of a head that has not come whole.
struct head_piece {
  std::array<char, k_max_head_bytes> bytes{};
  std::size_t count = 0;
};

/// Takes a head off `input`, which continues `piece`; what there is of one goes to `piece`.
head_result take_head(std::span<char>& input, head_piece& piece) {
  const std::size_t added = std::min(piece.bytes.size() - piece.count, input.size());
  std::copy_n(input.data(), added, piece.bytes.data() + piece.count);
  const auto result = decode_head({piece.bytes.data(), piece.count + added});
  if (result.head) {
    input = input.subspan(result.head->head_bytes - piece.count);
    piece.count = 0;
  } else {
    input = input.subspan(added);
    piece.count += added;
  }
  return result;
}

/// A message of several fragments, or of one frame that comes in several chunks.
struct open_message {
  std::optional<opcode> op;
  unsigned fragments = 0;
  std::string bytes;
};

/// Why a data frame with this head must not follow on `message`, if so.
std::optional<step> refuse(const frame_head& head, const open_message& message,
                           const frame_limits& limits) {
  if (head.is_control()) return std::nullopt;
  const bool continues = head.op == k_continuation;
  if (continues && !message.op) return violation(k_protocol_error, "nothing to continue");
  if (!continues && message.op) return violation(k_protocol_error, "message is not finished");
  if (message.bytes.size() > limits.message_bytes ||
      head.length > limits.message_bytes - message.bytes.size()) {
    return violation(k_too_large, "message is too large");
  }
  if (message.fragments >= limits.fragments) return violation(k_too_large, "too many fragments");
  return std::nullopt;
}

/// The first `bytes` of `input`, unmasked.
std::string_view take_payload(std::span<char>& input, std::size_t bytes,
                              std::array<char, 4>& mask) {
  const auto payload = input.first(bytes);
  input = input.subspan(bytes);
  unmask(payload, mask);
  return {payload.data(), payload.size()};
}

}  // namespace

/// What is kept between calls, and the bytes of a message until the call after its delivery.
struct frame_parser::partial {
  head_piece piece;
  std::optional<frame_head> frame;  ///< whose payload is coming: the bytes left, the mask turned
  open_message message;
  std::string control;  ///< payload of a control frame that comes in pieces

  /// Drops what was delivered; true if nothing else is kept.
  bool forget_delivered() {
    if (!frame) control.clear();
    return piece.count == 0 && !frame && !message.op;
  }

  void open(const frame_head& head) {
    frame = head;
    if (head.is_control()) return;
    if (head.op != k_continuation) message.op = static_cast<opcode>(head.op);
    ++message.fragments;
  }

  /// Moves payload of the open frame out of `input`; true once the frame is whole.
  bool gather(std::span<char>& input) {
    const auto bytes = std::min<std::uint64_t>(frame->length, input.size());
    auto& kept = frame->is_control() ? control : message.bytes;
    kept.append(take_payload(input, static_cast<std::size_t>(bytes), frame->mask));
    frame->length -= bytes;
    return frame->length == 0;
  }

  /// Closes the frame; need_more if its message goes on.
  step finish() {
    const frame_head head = *frame;
    frame.reset();
    if (head.is_control()) return deliver(static_cast<opcode>(head.op), control);
    if (!head.is_final) return {};
    const opcode op = *message.op;
    message.op.reset();
    return deliver(op, message.bytes);
  }
};

frame_parser::frame_parser() = default;
frame_parser::~frame_parser() = default;
frame_parser::frame_parser(frame_parser&&) noexcept = default;
frame_parser& frame_parser::operator=(frame_parser&&) noexcept = default;

frame_parser::step frame_parser::next(std::span<char>& input, const frame_limits& limits) {
  if (partial_ && partial_->forget_delivered()) partial_.reset();
  while (true) {
    if (!partial_ || !partial_->frame) {
      head_piece piece = partial_ ? partial_->piece : head_piece{};
      auto [head, objection] = take_head(input, piece);
      if (!partial_ && piece.count > 0) partial_ = std::make_unique<partial>();
      if (partial_) partial_->piece = piece;
      if (!objection.empty()) return violation(k_protocol_error, objection);
      if (!head) return {};
      const open_message none;
      const open_message& open = partial_ ? partial_->message : none;
      if (const auto refusal = refuse(*head, open, limits)) return *refusal;
      if (head->is_whole_message() && head->length <= input.size()) {
        const auto bytes = static_cast<std::size_t>(head->length);
        return deliver(static_cast<opcode>(head->op), take_payload(input, bytes, head->mask));
      }
      if (!partial_) partial_ = std::make_unique<partial>();
      partial_->open(*head);
    }
    if (!partial_->gather(input)) return {};
    if (const step done = partial_->finish(); done.what != step::kind::need_more) return done;
  }
}

void append_frame_header(std::string& out, opcode op, std::size_t payload_bytes) {
  out += static_cast<char>(0x80 | static_cast<unsigned>(op));
  int length_bytes = 0;
  if (payload_bytes < 126) {
    out += static_cast<char>(payload_bytes);
  } else if (payload_bytes <= 0xffff) {
    out += static_cast<char>(126);
    length_bytes = 2;
  } else {
    out += static_cast<char>(127);
    length_bytes = 8;
  }
  for (int i = length_bytes - 1; i >= 0; --i) {
    out += static_cast<char>(static_cast<std::uint64_t>(payload_bytes) >> (8 * i) & 0xff);
  }
}

std::string make_frame(opcode op, std::string_view payload) {
  std::string frame;
  frame.reserve(10 + payload.size());
  append_frame_header(frame, op, payload.size());
  frame += payload;
  return frame;
}

std::string make_close_frame(std::uint16_t code, std::string_view reason) {
  std::size_t bytes = std::min<std::size_t>(reason.size(), k_max_control_bytes - 2);
  if (bytes < reason.size()) {  // not in the middle of a character
    while (bytes > 0 && (static_cast<std::uint8_t>(reason[bytes]) & 0xc0) == 0x80) --bytes;
  }
  std::string payload{static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
  payload += reason.substr(0, bytes);
  return make_frame(opcode::close, payload);
}

std::string websocket_accept(std::string_view key) {
  const std::string text = std::string(key) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, 20> digest{};
  EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha1(), nullptr);
  std::array<unsigned char, 29> encoded{};  // 28 and the end that OpenSSL writes
  const int bytes = EVP_EncodeBlock(encoded.data(), digest.data(), digest.size());
  return {encoded.begin(), encoded.begin() + bytes};
}

}  // namespace pgcast
