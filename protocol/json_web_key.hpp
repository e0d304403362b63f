#pragma once

#include "protocol/error.hpp"
#include "protocol/signature.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pgcast {

/// The keys of a JSON Web Key Set (RFC 7517) that can verify tokens. Immutable once parsed.
///
/// What a key may be used for stands with the key and never in a token: its `alg`, or else its
/// type. RSA without `alg` goes with RS256 to RS512 and PS256 to PS512, a curve with its one
/// algorithm, a secret (`oct`) with HS256 to HS512.
class json_web_key_set {
 public:
  json_web_key_set() = default;

  /// Keys for encryption and of kinds that are not known are left out, as the RFC wants it; what is
  /// wrong with others, also with weak ones (RSA below 2048 bits, secrets below 32 bytes), stands
  /// in objections(). At most 100 keys are taken. Fails with config_invalid and one sentence if it
  /// is no key set, or has no usable key.
  static result<json_web_key_set> parse(std::string_view json);

  enum class verdict { good, bad, unknown_key };

  /// With a `kid` only keys of that name count (several may have it), without one the first 8 that
  /// go with the algorithm. unknown_key: none has that name (for HS256 to HS512: no secret has).
  verdict verify(const signature_algorithm& by, const std::optional<std::string>& kid,
                 std::string_view text, std::string_view signature) const;

  bool has(std::string_view kid) const;

  std::size_t size() const { return keys_.size(); }
  /// "2 RSA, 1 Ed25519", for operators.
  std::string summary() const;
  /// One sentence for each key that is wrong, without its content.
  const std::vector<std::string>& objections() const { return objections_; }

 private:
  struct web_key {
    std::optional<std::string> kid;
    const signature_algorithm* only = nullptr;  ///< its `alg`; nullptr: all of its kind
    std::variant<public_key, std::string> key;  ///< std::string: a secret
    std::string kind;                           ///< for summary(): "RSA", "P-256", "secret"

    bool is_named(const signature_algorithm& by, std::string_view name) const;
    bool goes_with(const signature_algorithm& by) const;
    bool has_signed(const signature_algorithm& by, std::string_view text,
                    std::string_view signature) const;
  };
  struct raw_key;

  void add(const raw_key& raw);
  bool has_for(const signature_algorithm& by, std::string_view kid) const;

  std::vector<web_key> keys_;
  std::vector<std::string> objections_;
};

}  // namespace pgcast
