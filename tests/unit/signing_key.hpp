#pragma once

#include "protocol/base64url.hpp"
#include "protocol/signature.hpp"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace pgcast {

/// A key pair made by OpenSSL: signs tokens and shows its public half as a JSON Web Key.
class signing_key {
 public:
  static signing_key of_rsa(std::size_t bits = 2'048) {
    return {EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", bits), "RSA", ""};
  }
  static signing_key of_curve(const std::string& curve) {
    return {EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve.c_str()), "EC", curve};
  }
  static signing_key of_edwards(const std::string& curve) {
    return {EVP_PKEY_Q_keygen(nullptr, nullptr, curve == "Ed448" ? "ED448" : "ED25519"), "OKP",
            curve};
  }

  /// {"kty":..}, `members` ("\"kid\":\"a\"") first.
  std::string jwk(const std::string& members = "") const {
    std::string out = "{" + members + (members.empty() ? "" : ",") + R"("kty":")" + kty_ + '"';
    if (!curve_.empty()) out += R"(,"crv":")" + curve_ + '"';
    if (kty_ == "RSA") return out + field("n", number("n")) + field("e", number("e")) + "}";
    if (kty_ == "EC") return out + field("x", number("qx")) + field("y", number("qy")) + "}";
    std::string raw(57, '\0');
    std::size_t bytes = raw.size();
    EVP_PKEY_get_raw_public_key(key_.get(), reinterpret_cast<unsigned char*>(raw.data()), &bytes);
    return out + field("x", raw.substr(0, bytes)) + "}";
  }

  /// The public half as bytes that somebody may take for a secret.
  std::string public_bytes() const { return number("n"); }

  /// A signature of `text` in the form of RFC 7518.
  std::string sign(std::string_view algorithm, std::string_view text) const {
    const auto& by = *find_signature_algorithm(algorithm);
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                          &EVP_MD_CTX_free);
    EVP_PKEY_CTX* options = nullptr;
    EVP_DigestSignInit_ex(context.get(), &options, by.digest, nullptr, nullptr, key_.get(),
                          nullptr);
    if (by.kind == signature_algorithm::family::rsa_pss) {
      EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING);
      EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST);
    }
    const auto* data = reinterpret_cast<const unsigned char*>(text.data());
    std::size_t bytes = 0;
    EVP_DigestSign(context.get(), nullptr, &bytes, data, text.size());
    std::vector<unsigned char> signature(bytes);
    if (EVP_DigestSign(context.get(), signature.data(), &bytes, data, text.size()) != 1) {
      throw std::runtime_error("the key does not sign by " + std::string(algorithm));
    }
    signature.resize(bytes);
    if (by.kind == signature_algorithm::family::ecdsa) return side_by_side(signature);
    return {signature.begin(), signature.end()};
  }

  std::string token(std::string_view algorithm, std::string_view claims,
                    const std::string& members = "") const {
    const std::string header =
        R"({"alg":")" + std::string(algorithm) + '"' + (members.empty() ? "" : ",") + members + "}";
    const auto text = base64url_encode(header) + "." + base64url_encode(claims);
    return text + "." + base64url_encode(sign(algorithm, text));
  }

 private:
  signing_key(EVP_PKEY* key, std::string kty, std::string curve)
      : key_(key, &EVP_PKEY_free), kty_(std::move(kty)), curve_(std::move(curve)) {}

  static std::string field(const std::string& name, const std::string& bytes) {
    return ",\"" + name + "\":\"" + base64url_encode(bytes) + '"';
  }

  std::size_t coordinate() const {
    return curve_ == "P-256" ? 32 : curve_ == "P-384" ? 48 : curve_ == "P-521" ? 66 : 0;
  }

  std::string number(const char* name) const {
    BIGNUM* value = nullptr;
    EVP_PKEY_get_bn_param(key_.get(), name, &value);
    const auto least = static_cast<std::size_t>(BN_num_bytes(value));
    std::string out(std::max(coordinate(), least), '\0');
    BN_bn2binpad(value, reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(out.size()));
    BN_free(value);
    return out;
  }

  std::string side_by_side(const std::vector<unsigned char>& der) const {
    const auto* at = der.data();
    ECDSA_SIG* const pair = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
    std::string out(2 * coordinate(), '\0');
    auto* bytes = reinterpret_cast<unsigned char*>(out.data());
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), bytes, static_cast<int>(coordinate()));
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), bytes + coordinate(), static_cast<int>(coordinate()));
    ECDSA_SIG_free(pair);
    return out;
  }

  std::shared_ptr<EVP_PKEY> key_;
  std::string kty_;
  std::string curve_;
};

}  // namespace pgcast
