#include "protocol/error_reply.hpp"

#include "protocol/codec.hpp"

namespace pgcast {
namespace {

std::string code_and_hint(errc code) {
  return R"("code":)" + json_quote(text_code(code)) + R"(,"hint":)" + json_quote(hint_of(code));
}

std::string_view word_of(errc code) {
  switch (code) {
    case errc::binding_malformed:
    case errc::filter_malformed:
      return "RealtimeDisabledForConfiguration: Unable to subscribe to changes with given "
             "parameters: ";
    case errc::campaign_too_large:
    case errc::not_installed:
      return "RealtimeDisabledForConfiguration: ";
    case errc::topic_missing:
      return "TopicNameRequired: ";
    case errc::token_bad_signature:
      return "JwtSignatureError: ";
    case errc::token_key_unknown:
      return "JwtSignerError: ";
    case errc::token_malformed:
      return "MalformedJWT: ";
    case errc::token_missing:
    case errc::token_expired:
    case errc::token_not_yet_valid:
    case errc::token_claims_missing:
    case errc::token_role_refused:
      return "InvalidJWTToken: ";
    case errc::replay_refused:
      return "UnableToReplayMessages: ";
    case errc::unauthorized:
      return "Unauthorized: ";
    case errc::reserved_event:
      return "reserved_event: ";
    case errc::too_many_channels:
      return "ChannelRateLimitReached: ";
    case errc::source_unavailable:
      return "UnableToConnectToProject: ";
    case errc::subscribe_timeout:
      return "PostgresChangesSubscribeTimeout: ";
    default:
      return "";
  }
}

}  // namespace

std::string_view hint_of(errc code) {
  switch (code) {
    case errc::message_malformed:
      return "mend the request: the sentence says what is wrong with it";
    case errc::payload_malformed:
    case errc::binding_malformed:
      return "mend the field that the sentence names";
    case errc::topic_missing:
      return "name a topic, such as session:<id>, phone:<number> or campaign:<name>";
    case errc::filter_malformed:
      return "mend the filter as the sentence says";
    case errc::topic_not_joined:
      return "join the topic first";
    case errc::event_unknown:
      return "send broadcast, presence, access_token or phx_leave";
    case errc::payload_too_large:
      return "send less, or raise limits.payload_bytes";
    case errc::token_missing:
      return "pass a token as apikey";
    case errc::token_malformed:
      return "mint a JWT with an algorithm that is accepted here";
    case errc::token_bad_signature:
      return "compare auth.jwt_secret and auth.jwks with the issuer's keys";
    case errc::token_expired:
      return "refresh the token, and compare the clocks";
    case errc::token_not_yet_valid:
      return "compare the clocks: nbf lies ahead";
    case errc::token_claims_missing:
      return "let the issuer add role and exp";
    case errc::token_role_refused:
      return "add the role to auth.roles, if it may";
    case errc::token_key_unknown:
      return "compare the issuer with auth.jwks: a URL is asked again within a minute";
    case errc::unauthorized:
      return "look at the role's grants, the policies and the token's claims";
    case errc::reserved_event:
      return "choose another name for the event";
    case errc::too_many_channels:
      return "leave some channels, or raise limits.channels";
    case errc::campaign_too_large:
      return "raise limits.ticker_sessions, or split the campaign";
    case errc::too_many_connections:
      return "close others first, or raise limits.address_connections or limits.user_connections";
    case errc::source_unavailable:
    case errc::subscribe_timeout:
      return "try again in a moment: supabase-js does by itself";
    case errc::presence_refused:
      return "track less, or raise the limits.presence_ keys";
    case errc::replay_refused:
      return "join a private channel, with since in milliseconds and limit as whole numbers";
    case errc::origin_refused:
      return "add the page's origin to server.allowed_origins";
    case errc::host_refused:
      return "connect from the same machine, or let auth.mode be rls";
    case errc::not_installed:
      return "run pgcast install";
    default:
      return "";
  }
}

std::string reason_of(const error& e) { return std::string{word_of(e.code)} + e.detail; }

std::string error_reply(const error& e) {
  return R"({"status":"error","response":{"reason":)" + json_quote(reason_of(e)) + "}," +
         code_and_hint(e.code) + "}";
}

std::string error_body(const error& e) {
  return R"({"error":)" + json_quote(e.detail) + "," + code_and_hint(e.code) + "}";
}

}  // namespace pgcast
