#include "protocol/signature.hpp"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <array>
#include <cstddef>
#include <vector>

namespace pgcast {
namespace {

using family = signature_algorithm::family;

constexpr std::array k_algorithms{
    signature_algorithm{"HS256", family::hmac, "SHA256", ""},
    signature_algorithm{"HS384", family::hmac, "SHA384", ""},
    signature_algorithm{"HS512", family::hmac, "SHA512", ""},
    signature_algorithm{"RS256", family::rsa, "SHA256", ""},
    signature_algorithm{"RS384", family::rsa, "SHA384", ""},
    signature_algorithm{"RS512", family::rsa, "SHA512", ""},
    signature_algorithm{"PS256", family::rsa_pss, "SHA256", ""},
    signature_algorithm{"PS384", family::rsa_pss, "SHA384", ""},
    signature_algorithm{"PS512", family::rsa_pss, "SHA512", ""},
    signature_algorithm{"ES256", family::ecdsa, "SHA256", "P-256"},
    signature_algorithm{"ES384", family::ecdsa, "SHA384", "P-384"},
    signature_algorithm{"ES512", family::ecdsa, "SHA512", "P-521"},
    signature_algorithm{"EdDSA", family::eddsa, nullptr, ""},
    signature_algorithm{"Ed25519", family::eddsa, nullptr, "Ed25519"},
    signature_algorithm{"Ed448", family::eddsa, nullptr, "Ed448"},
};

struct curve_facts {
  std::string_view name;
  const char* group;       ///< OpenSSL's name
  std::size_t coordinate;  ///< bytes; RFC 7518, section 6.2.1.2
  int edwards = EVP_PKEY_NONE;
};

constexpr std::array k_curves{
    curve_facts{"P-256", "P-256", 32},
    curve_facts{"P-384", "P-384", 48},
    curve_facts{"P-521", "P-521", 66},
    curve_facts{"Ed25519", "", 32, EVP_PKEY_ED25519},
    curve_facts{"Ed448", "", 57, EVP_PKEY_ED448},
};

const curve_facts* find_curve(std::string_view name, bool is_edwards) {
  for (const auto& c : k_curves) {
    if (c.name == name && (c.edwards != EVP_PKEY_NONE) == is_edwards) return &c;
  }
  return nullptr;
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

template <auto Free>
struct freed_by {
  template <class T>
  void operator()(T* one) const {
    Free(one);
  }
};
template <class T, auto Free>
using owned = std::unique_ptr<T, freed_by<Free>>;

using big_number = owned<BIGNUM, BN_free>;
using parameter_builder = owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free>;
using parameters = owned<OSSL_PARAM, OSSL_PARAM_free>;
using key_context = owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;
using digest_context = owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using ecdsa_signature = owned<ECDSA_SIG, ECDSA_SIG_free>;

big_number number_of_bytes(std::string_view bytes) {
  return big_number(BN_bin2bn(bytes_of(bytes), static_cast<int>(bytes.size()), nullptr));
}

/// What OpenSSL noted about input of somebody else is nobody's error later.
struct error_queue {
  ~error_queue() { ERR_clear_error(); }
};

std::shared_ptr<EVP_PKEY> make_key(const char* type, OSSL_PARAM_BLD* values) {
  const parameters all(OSSL_PARAM_BLD_to_param(values));
  const key_context context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  const bool is_made = all && context && EVP_PKEY_fromdata_init(context.get()) == 1 &&
                       EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, all.get()) == 1;
  return is_made ? std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free) : nullptr;
}

/// r and s side by side -> the DER that OpenSSL wants; empty if they are not that.
std::vector<unsigned char> der_of(std::string_view signature, std::size_t coordinate) {
  if (signature.size() != 2 * coordinate) return {};
  const ecdsa_signature pair(ECDSA_SIG_new());
  auto r = number_of_bytes(signature.substr(0, coordinate));
  auto s = number_of_bytes(signature.substr(coordinate));
  if (!pair || !r || !s) return {};
  if (ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) return {};
  (void)r.release();  // the pair's now
  (void)s.release();
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(pair.get(), &der);
  if (size <= 0) return {};
  std::vector<unsigned char> out(der, der + size);
  OPENSSL_free(der);
  return out;
}

bool set_padding(EVP_PKEY_CTX* context, family kind) {
  if (kind == family::rsa) return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
  if (kind != family::rsa_pss) return true;
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

}  // namespace

const signature_algorithm* find_signature_algorithm(std::string_view name) {
  for (const auto& a : k_algorithms) {
    if (a.name == name) return &a;
  }
  return nullptr;
}

std::string hmac(const char* digest, std::string_view secret, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  std::size_t bytes = 0;
  if (EVP_Q_mac(nullptr, "HMAC", nullptr, digest, nullptr, secret.data(), secret.size(),
                bytes_of(text), text.size(), mac.data(), mac.size(), &bytes) == nullptr) {
    return {};
  }
  return {mac.begin(), mac.begin() + static_cast<std::ptrdiff_t>(bytes)};
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

bool is_good_mac(const signature_algorithm& by, std::string_view secret, std::string_view text,
                 std::string_view mac) {
  if (by.kind != family::hmac || secret.empty()) return false;
  const auto expected = hmac(by.digest, secret, text);
  return !expected.empty() && equal_in_constant_time(expected, mac);
}

public_key::public_key(std::shared_ptr<EVP_PKEY> key, family kind, std::string_view curve)
    : key_(std::move(key)), kind_(kind), curve_(curve) {}

std::optional<public_key> public_key::of_rsa(std::string_view modulus, std::string_view exponent) {
  const error_queue cleared;
  const auto n = number_of_bytes(modulus);
  const auto e = number_of_bytes(exponent);
  const parameter_builder values(OSSL_PARAM_BLD_new());
  if (!n || !e || !values || BN_is_odd(n.get()) == 0) return std::nullopt;
  if (BN_is_odd(e.get()) == 0 || BN_is_one(e.get()) == 1) return std::nullopt;
  if (OSSL_PARAM_BLD_push_BN(values.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(values.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return std::nullopt;
  }
  auto key = make_key("RSA", values.get());
  if (!key) return std::nullopt;
  return public_key(std::move(key), family::rsa, "");
}

std::optional<public_key> public_key::of_curve(std::string_view curve, std::string_view x,
                                               std::string_view y) {
  const error_queue cleared;
  const auto* known = find_curve(curve, false);
  if (known == nullptr || x.size() != known->coordinate || y.size() != known->coordinate) {
    return std::nullopt;
  }
  const auto point = std::string("\x04").append(x).append(y);  // uncompressed
  const parameter_builder values(OSSL_PARAM_BLD_new());
  if (!values ||
      OSSL_PARAM_BLD_push_utf8_string(values.get(), OSSL_PKEY_PARAM_GROUP_NAME, known->group, 0) !=
          1 ||
      OSSL_PARAM_BLD_push_octet_string(values.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                       point.size()) != 1) {
    return std::nullopt;
  }
  auto key = make_key("EC", values.get());
  if (!key) return std::nullopt;
  const key_context context(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  if (!context || EVP_PKEY_public_check(context.get()) != 1) return std::nullopt;
  return public_key(std::move(key), family::ecdsa, known->name);
}

std::optional<public_key> public_key::of_edwards(std::string_view curve, std::string_view x) {
  const error_queue cleared;
  const auto* known = find_curve(curve, true);
  if (known == nullptr || x.size() != known->coordinate) return std::nullopt;
  EVP_PKEY* const key = EVP_PKEY_new_raw_public_key(known->edwards, nullptr, bytes_of(x), x.size());
  if (key == nullptr) return std::nullopt;
  return public_key({key, EVP_PKEY_free}, family::eddsa, known->name);
}

unsigned public_key::bits() const { return static_cast<unsigned>(EVP_PKEY_get_bits(key_.get())); }

bool public_key::is_for(const signature_algorithm& by) const {
  if (by.kind != kind_) return by.kind == family::rsa_pss && kind_ == family::rsa;
  return by.curve.empty() || by.curve == curve_;
}

bool public_key::has_signed(const signature_algorithm& by, std::string_view text,
                            std::string_view signature) const {
  const error_queue cleared;
  if (!is_for(by)) return false;
  std::vector<unsigned char> der;
  if (kind_ == family::ecdsa) {
    der = der_of(signature, find_curve(curve_, false)->coordinate);
    if (der.empty()) return false;
    signature = {reinterpret_cast<const char*>(der.data()), der.size()};
  }
  const digest_context context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* options = nullptr;  // the context's
  if (!context || EVP_DigestVerifyInit_ex(context.get(), &options, by.digest, nullptr, nullptr,
                                          key_.get(), nullptr) != 1) {
    return false;
  }
  return set_padding(options, by.kind) &&
         EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(text),
                          text.size()) == 1;
}

}  // namespace pgcast
