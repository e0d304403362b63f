#include "protocol/outbound_queue.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <deque>
#include <random>

namespace pgcast {
namespace {

std::shared_ptr<const batch_span> span_of(std::uint32_t life) {
  auto span = std::make_shared<batch_span>();
  span->start.incarnation = life;
  return span;
}

shared_frame row(std::string bytes, std::uint64_t id, std::shared_ptr<const batch_span> span) {
  return std::make_shared<const outbound_frame>(std::move(bytes), std::move(span), id);
}
shared_frame plain(std::string bytes) {
  return std::make_shared<const outbound_frame>(std::move(bytes));
}

std::string waiting(const outbound_queue& q) {
  std::vector<std::string_view> out(4'096);
  out.resize(q.pieces(out));
  std::string all;
  for (const auto piece : out) all += piece;
  return all;
}

TEST(OutboundQueue, Pieces_AreAtMostAsManyAsAskedAndInOrder) {
  outbound_queue q;
  for (const auto* text : {"one", "two", "three"}) q.push(plain(text), 0);
  std::array<std::string_view, 2> out;
  ASSERT_EQ(q.pieces(out), 2U);
  EXPECT_EQ(out[0], "one");
  EXPECT_EQ(out[1], "two");
  q.consume(4);
  ASSERT_EQ(q.pieces(out), 2U);
  EXPECT_EQ(out[0], "wo");
  EXPECT_EQ(out[1], "three");
  EXPECT_EQ(q.bytes(), 7U);
}

TEST(OutboundQueue, FirstWaiting_IsThePlaceJustBeforeTheFirstRowOfTheChannel) {
  outbound_queue q;
  q.push(plain("reply"), 0);
  q.push(row("a", 10, span_of(1)), 1);
  q.push(row("b", 11, span_of(2)), 2);
  q.push(row("c", 12, span_of(3)), 2);
  position before;
  ASSERT_TRUE(q.first_waiting(2, before));
  EXPECT_EQ(before.incarnation, 2U);
  EXPECT_EQ(before.id, 10U);
  EXPECT_FALSE(q.first_waiting(3, before));
}

TEST(OutboundQueue, RowThatHasBegunToBeSent_IsNeitherDroppedNorWaiting) {
  outbound_queue q;
  q.push(row("first", 10, span_of(1)), 1);
  q.push(row("second", 11, span_of(1)), 1);
  q.push(plain("reply"), 0);
  q.consume(2);
  position before;
  ASSERT_TRUE(q.first_waiting(1, before));
  EXPECT_EQ(before.id, 10U) << "before the second";
  EXPECT_EQ(q.drop_rows(), 1U);
  EXPECT_EQ(waiting(q), "rstreply");
  EXPECT_EQ(q.bytes(), 8U);
  EXPECT_FALSE(q.first_waiting(1, before));
}

TEST(OutboundQueue, SentAndDroppedFrames_AreLetGo) {
  outbound_queue q;
  std::vector<std::weak_ptr<const outbound_frame>> frames;
  for (int i = 0; i < 4; ++i) {
    auto frame = row("bytes", 1, span_of(1));
    frames.push_back(frame);
    q.push(std::move(frame), 1);
  }
  q.consume(5 + 2);
  EXPECT_TRUE(frames[0].expired());
  EXPECT_FALSE(frames[1].expired());
  q.drop_rows();
  EXPECT_FALSE(frames[1].expired()) << "a part of it is on its way";
  EXPECT_TRUE(frames[2].expired() && frames[3].expired());
  q.consume(3);
  EXPECT_TRUE(q.is_empty());
  EXPECT_TRUE(frames[1].expired());
}

TEST(OutboundQueue, Random_AgreesWithANaiveQueue) {
  struct item {
    std::string rest;
    std::uint32_t channel;
    std::uint64_t id;
    bool has_begun = false;
  };
  std::mt19937 random(7);
  const auto span = span_of(1);
  outbound_queue q;
  std::deque<item> naive;
  std::uint64_t id = 0;
  for (int step = 0; step < 20'000; ++step) {
    const auto chance = random() % 100;
    if (chance < 60) {
      const auto channel = static_cast<std::uint32_t>(random() % 3);
      std::string bytes(1 + random() % 20, static_cast<char>('a' + random() % 26));
      naive.push_back({bytes, channel, ++id});
      q.push(channel == 0 ? plain(bytes) : row(bytes, id, span), channel);
    } else if (chance < 97) {
      auto count = random() % (std::min<std::size_t>(q.bytes(), 90) + 1);
      q.consume(count);
      while (count > 0) {
        auto& head = naive.front();
        const auto cut = std::min(count, head.rest.size());
        head.rest.erase(0, cut);
        head.has_begun = true;
        count -= cut;
        if (head.rest.empty()) naive.pop_front();
      }
    } else if (chance == 97) {
      const auto dropped =
          std::erase_if(naive, [](const item& i) { return i.channel != 0 && !i.has_begun; });
      ASSERT_EQ(q.drop_rows(), dropped);
    }
    std::string all;
    std::array<std::uint64_t, 3> first{};
    for (const auto& i : naive) {
      all += i.rest;
      if (first[i.channel] == 0 && !i.has_begun) first[i.channel] = i.id;
    }
    ASSERT_EQ(q.is_empty(), naive.empty());
    ASSERT_EQ(q.bytes(), all.size());
    if (step % 16 == 0) {
      ASSERT_EQ(waiting(q), all);
    }
    for (const std::uint32_t channel : {1U, 2U}) {
      position before;
      ASSERT_EQ(q.first_waiting(channel, before), first[channel] != 0);
      if (first[channel] != 0) {
        ASSERT_EQ(before.id + 1, first[channel]);
      }
    }
  }
}

TEST(OutboundQueue, BegunRow_AfterTheOthersWereDropped_CountsAsARowNoMore) {
  outbound_queue queue;
  const auto row = [](std::size_t bytes) {
    return std::make_shared<const outbound_frame>(std::string(bytes, 'x'),
                                                  std::make_shared<batch_span>(), 1);
  };
  queue.push(row(1'000), 7);
  queue.push(row(10), 7);
  queue.consume(1);
  EXPECT_EQ(queue.drop_rows(), 1U);
  EXPECT_EQ(queue.row_bytes(), 0U) << "else a client that stops in its middle holds the source up";
  EXPECT_EQ(queue.bytes(), 999U);
  queue.consume(999);
  EXPECT_TRUE(queue.is_empty());
  EXPECT_EQ(queue.row_bytes(), 0U);
}

TEST(OutboundQueue, RewriteNewest_LeavesWhatHasBegunAndCountsTheBytes) {
  outbound_queue q;
  q.push(plain("begun"), 0);
  q.push(row("row", 10, span_of(1)), 1);
  q.push(plain("last"), 0);
  q.consume(1);
  const auto longer = [](const shared_frame& f) { return plain(f->bytes + "+"); };
  q.rewrite_newest(1, longer);
  EXPECT_EQ(waiting(q), "egunrowlast+");
  q.rewrite_newest(SIZE_MAX, longer);
  EXPECT_EQ(waiting(q), "egunrow+last++");
  EXPECT_EQ(q.bytes(), 14U);
  EXPECT_EQ(q.row_bytes(), 4U);
  q.consume(14);
  EXPECT_EQ(q.row_bytes(), 0U);
}

TEST(OutboundQueue, PushFirst_IsInFrontOfAllThatWaits) {
  outbound_queue q;
  q.push_first(plain("one "));
  q.push(row("row ", 10, span_of(1)), 1);
  q.push_first(plain("head "));
  EXPECT_EQ(waiting(q), "head one row ");
  EXPECT_EQ(q.bytes(), 13U);
}

}  // namespace
}  // namespace pgcast
