#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace pgcast {

/// WebSocket opcodes of whole messages and control frames (RFC 6455, section 5.2).
enum class opcode : std::uint8_t { text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

/// What one peer may send: whole messages in bytes, and pieces of one message.
struct frame_limits {
  std::size_t message_bytes = 5'000'000;
  unsigned fragments = 1'024;
};

/// Turns the bytes that one client sent into whole messages, whatever their chunking.
///
/// An idle parser owns no heap memory; a partial frame or message is kept inside until the rest
/// comes. After a violation the connection is closed with the returned code and the parser is not
/// used again. Not thread-safe.
class frame_parser {
 public:
  frame_parser();
  ~frame_parser();
  frame_parser(frame_parser&&) noexcept;
  frame_parser& operator=(frame_parser&&) noexcept;

  struct step {
    enum class kind { message, need_more, violation };
    kind what = kind::need_more;
    opcode op = opcode::text;      ///< of a message
    std::string_view payload;      ///< of a message; valid until the next call of next()
    std::uint16_t close_code = 0;  ///< of a violation: 1002, 1007 or 1009
    std::string_view reason;       ///< of a violation: a fixed text for the close frame
  };

  /// Takes the next message out of `input`, unmasking it in place, and moves `input` behind what
  /// was consumed. With need_more all of `input` has been consumed. Control frames come between
  /// the fragments of a message as they arrive. A claimed length beyond the limit is a violation
  /// before anything is allocated. Text is checked for UTF-8 (1007), close payloads for form.
  step next(std::span<char>& input, const frame_limits& limits);

  /// True while nothing is kept between calls.
  bool is_idle() const { return partial_ == nullptr; }

 private:
  struct partial;
  std::unique_ptr<partial> partial_;
};

/// Appends the header of an unmasked, final frame (2, 4 or 10 bytes) for `payload_bytes`.
void append_frame_header(std::string& out, opcode op, std::size_t payload_bytes);

/// A whole unmasked frame.
std::string make_frame(opcode op, std::string_view payload);

/// A close frame with `code` and a reason cut to 123 bytes.
std::string make_close_frame(std::uint16_t code, std::string_view reason);

/// The value of Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455, section 4.2.2).
std::string websocket_accept(std::string_view key);

}  // namespace pgcast
