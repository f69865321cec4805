// Callbacks: each heard of once, none after its end.
#include "scheduler/store/subscriptions.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace trainyard::store {
namespace {

TEST(SubscriptionsTest, RemoveWaitsForTheRunningCall) {
  Subscriptions subscriptions;
  Mutex mutex;
  CondVar changed;
  bool inside = false, go_on = false;
  std::atomic<bool> left{false};
  const uint64_t id = subscriptions.Add(1, [&] {
    MutexLock lock(&mutex);
    inside = true;
    changed.NotifyAll();
    while (!go_on) changed.Wait(&mutex);
    left = true;
  });
  std::thread notifier([&] { subscriptions.Notify(1); });
  {
    MutexLock lock(&mutex);
    while (!inside) changed.Wait(&mutex);
  }
  std::thread remover([&] {
    subscriptions.Remove(id);
    EXPECT_TRUE(left);
  });
  {
    MutexLock lock(&mutex);
    go_on = true;
    changed.NotifyAll();
  }
  remover.join();
  notifier.join();
}

TEST(SubscriptionsTest, RemoveFromInsideDoesNotWaitForItself) {
  Subscriptions subscriptions;
  int calls = 0;
  uint64_t id = 0;
  id = subscriptions.Add(1, [&] {
    ++calls;
    subscriptions.Remove(id);
  });
  subscriptions.Notify(1);
  subscriptions.Notify(1);
  EXPECT_EQ(calls, 1);
}

TEST(SubscriptionsTest, ManyThreadsComeAndGo) {
  Subscriptions subscriptions;
  std::atomic<bool> stop{false};
  std::thread notifier([&] {
    while (!stop) subscriptions.Notify(1);
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 300; ++i) {
        auto alive = std::make_unique<std::atomic<int>>(0);
        const uint64_t id = subscriptions.Add(1, [&alive] { alive->fetch_add(1); });
        subscriptions.Remove(id);
        alive.reset();  // a call after this would be seen by the sanitizers
      }
    });
  }
  for (auto& thread : threads) thread.join();
  stop = true;
  notifier.join();
}

TEST(SubscriptionsTest, UnknownIsIgnored) {
  Subscriptions subscriptions;
  subscriptions.Remove(99);
  subscriptions.Notify(99);
}

}  // namespace
}  // namespace trainyard::store
