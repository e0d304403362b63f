#include "protocol/ticket.hpp"

#include "protocol/base64url.hpp"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <array>
#include <charconv>
#include <memory>
#include <stdexcept>

namespace pgcast {
namespace {

constexpr std::size_t k_nonce_bytes = 12;  // NIST SP 800-38D, section 8.2
constexpr std::size_t k_tag_bytes = 16;

using key = std::array<unsigned char, SHA256_DIGEST_LENGTH>;
using cipher = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

/// The secret signs tokens; what seals tickets is another key, made of it.
key key_of(std::string_view secret) {
  const std::string text = "pgcast ticket\n" + std::string{secret};
  key out{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data());
  return out;
}

cipher make_cipher() { return {EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free}; }

unsigned char* bytes_of(std::string& text, std::size_t from) {
  return reinterpret_cast<unsigned char*>(text.data() + from);
}
const unsigned char* bytes_of(std::string_view text, std::size_t from) {
  return reinterpret_cast<const unsigned char*>(text.data() + from);
}

/// nonce, sealed text, tag -> text; "" if that is not what it is.
std::string unseal(std::string_view sealed, const key& k) {
  if (sealed.size() <= k_nonce_bytes + k_tag_bytes) return {};
  const auto length = sealed.size() - k_nonce_bytes - k_tag_bytes;
  std::string out(length, '\0');
  std::string tag{sealed.substr(k_nonce_bytes + length)};
  const auto c = make_cipher();
  int written = 0;
  const bool is_good =
      EVP_DecryptInit_ex(c.get(), EVP_aes_256_gcm(), nullptr, k.data(), bytes_of(sealed, 0)) == 1 &&
      EVP_DecryptUpdate(c.get(), bytes_of(out, 0), &written, bytes_of(sealed, k_nonce_bytes),
                        static_cast<int>(length)) == 1 &&
      EVP_CIPHER_CTX_ctrl(c.get(), EVP_CTRL_GCM_SET_TAG, k_tag_bytes, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(c.get(), bytes_of(out, 0) + written, &written) == 1;
  return is_good ? out : std::string{};
}

}  // namespace

std::string seal_ticket(std::string_view token, std::string_view secret, wall_time expires_at) {
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(expires_at.time_since_epoch());
  const std::string text = std::to_string(seconds.count()) + "\n" + std::string{token};
  const auto k = key_of(secret);
  std::string sealed(k_nonce_bytes + text.size() + k_tag_bytes, '\0');
  const auto c = make_cipher();
  int written = 0;
  const bool is_good =
      RAND_bytes(bytes_of(sealed, 0), k_nonce_bytes) == 1 &&
      EVP_EncryptInit_ex(c.get(), EVP_aes_256_gcm(), nullptr, k.data(), bytes_of(sealed, 0)) == 1 &&
      EVP_EncryptUpdate(c.get(), bytes_of(sealed, k_nonce_bytes), &written, bytes_of(text, 0),
                        static_cast<int>(text.size())) == 1 &&
      EVP_EncryptFinal_ex(c.get(), bytes_of(sealed, k_nonce_bytes) + written, &written) == 1 &&
      EVP_CIPHER_CTX_ctrl(c.get(), EVP_CTRL_GCM_GET_TAG, k_tag_bytes,
                          bytes_of(sealed, k_nonce_bytes + text.size())) == 1;
  if (!is_good) throw std::runtime_error("a ticket cannot be sealed");
  return base64url_encode(sealed);
}

result<std::string> open_ticket(std::string_view ticket, std::span<const std::string> secrets,
                                wall_time now) {
  const error bad{errc::token_malformed, "the ticket is none of ours"};
  const auto sealed = base64url_decode(ticket);
  if (!sealed) return bad;
  for (const auto& secret : secrets) {
    const auto text = unseal(*sealed, key_of(secret));
    const auto split = text.find('\n');
    if (split == std::string::npos) continue;
    std::int64_t seconds = 0;
    std::from_chars(text.data(), text.data() + split, seconds);
    if (now >= wall_time{std::chrono::seconds{seconds}}) {
      return error{errc::token_expired, "the ticket has expired"};
    }
    return text.substr(split + 1);
  }
  return bad;
}

}  // namespace pgcast
