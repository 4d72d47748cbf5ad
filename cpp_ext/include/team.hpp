// Threads for the length of one call: numbered tasks are taken in turn, by the caller too. No Python here.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace contrastrt {

// A thread that starts late takes what is left, or nothing; the caller waits only for tasks that were taken.
class Team {
public:
    explicit Team(std::ptrdiff_t size) {
        threads_.reserve(static_cast<std::size_t>(size - 1));
        try {
            for (std::ptrdiff_t member = 1; member < size; ++member) threads_.emplace_back([this, member] { serve(member); });
        } catch (const std::system_error&) {  // the system has no more threads: those there are do the work
        }
    }

    ~Team() {
        {
            const std::lock_guard<std::mutex> held(mutex_);
            closed_ = true;
        }
        called_.notify_all();
        for (std::thread& thread : threads_) thread.join();
    }

    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    std::ptrdiff_t size() const { return static_cast<std::ptrdiff_t>(threads_.size()) + 1; }

    // body(task, member) for each task; returns when all are done. It must not throw.
    template <class Body>
    void run(std::ptrdiff_t tasks, Body&& body) {
        if (threads_.empty() || tasks < 2) {
            for (std::ptrdiff_t task = 0; task < tasks; ++task) body(task, std::ptrdiff_t{0});
            return;
        }
        {
            const std::lock_guard<std::mutex> held(mutex_);
            next_ = 0;
            tasks_ = tasks;
            context_ = &body;
            call_ = [](void* context, std::ptrdiff_t task, std::ptrdiff_t member) { (*static_cast<Body*>(context))(task, member); };
            open_ = true;
            ++round_;
        }
        called_.notify_all();
        work(0);
        std::unique_lock<std::mutex> held(mutex_);
        open_ = false;
        left_.wait(held, [this] { return working_ == 0; });
    }

private:
    void work(std::ptrdiff_t member) {
        for (std::ptrdiff_t task = next_++; task < tasks_; task = next_++) call_(context_, task, member);
    }

    void serve(std::ptrdiff_t member) {
        std::ptrdiff_t seen = 0;
        std::unique_lock<std::mutex> held(mutex_);
        for (;;) {
            called_.wait(held, [&] { return closed_ || (open_ && round_ != seen); });
            if (closed_) return;
            seen = round_;
            ++working_;
            held.unlock();
            work(member);
            held.lock();
            if (--working_ == 0) left_.notify_one();
        }
    }

    std::mutex mutex_;
    std::condition_variable called_, left_;
    std::atomic<std::ptrdiff_t> next_{0};
    std::ptrdiff_t tasks_ = 0, round_ = 0, working_ = 0;
    bool open_ = false, closed_ = false;
    void* context_ = nullptr;
    void (*call_)(void*, std::ptrdiff_t, std::ptrdiff_t) = nullptr;
    std::vector<std::thread> threads_;
};

}  // namespace contrastrt
