#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct evp_pkey_st;  // OpenSSL's EVP_PKEY

namespace pgcast {

/// How a token may be signed: RFC 7518 section 3.1, RFC 8037, RFC 9864.
struct signature_algorithm {
  enum class family { hmac, rsa, rsa_pss, ecdsa, eddsa };

  std::string_view name;  ///< as the header of a token says it: "RS256"
  family kind;
  const char* digest;      ///< OpenSSL's name; nullptr: the curve has its own
  std::string_view curve;  ///< of ecdsa and eddsa: the only one that it goes with; "" = any
};

/// nullptr for names that are none of ours, "none" among them. Exact, as the RFC wants it. Lives
/// for ever.
const signature_algorithm* find_signature_algorithm(std::string_view name);

/// Empty if OpenSSL fails.
std::string hmac(const char* digest, std::string_view secret, std::string_view text);

/// Takes as long for every `b` of the length of `a`.
bool equal_in_constant_time(std::string_view a, std::string_view b);

/// True if `mac` is that of `text` under `secret`, which is not empty, by an algorithm of the
/// family hmac.
bool is_good_mac(const signature_algorithm& by, std::string_view secret, std::string_view text,
                 std::string_view mac);

/// A key that can verify and cannot sign. Cheap to copy; may be used by several threads at once.
class public_key {
 public:
  /// Big-endian numbers and coordinates, as a JSON Web Key has them. Nothing if they are no key:
  /// a point that is not on its curve, coordinates of another length, an even exponent.
  static std::optional<public_key> of_rsa(std::string_view modulus, std::string_view exponent);
  /// `curve`: P-256, P-384 or P-521.
  static std::optional<public_key> of_curve(std::string_view curve, std::string_view x,
                                            std::string_view y);
  /// `curve`: Ed25519 or Ed448.
  static std::optional<public_key> of_edwards(std::string_view curve, std::string_view x);

  /// Of the modulus or the field.
  unsigned bits() const;

  /// True if the algorithm goes with the key's kind and curve.
  bool is_for(const signature_algorithm& by) const;

  /// True if `signature`, in the form of RFC 7518, is that of `text`. False where
  /// is_for() is. 30 us (RS256) to 200 us (EdDSA).
  bool has_signed(const signature_algorithm& by, std::string_view text,
                  std::string_view signature) const;

 private:
  public_key(std::shared_ptr<evp_pkey_st> key, signature_algorithm::family kind,
             std::string_view curve);

  std::shared_ptr<evp_pkey_st> key_;
  signature_algorithm::family kind_;  ///< rsa stands for rsa_pss as well
  std::string_view curve_;            ///< a constant
};

}  // namespace pgcast
