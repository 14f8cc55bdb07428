#include <birds_vs_planes/command_line.hpp>
#include <birds_vs_planes/commands.hpp>
#include <birds_vs_planes/console.hpp>
#include <birds_vs_planes/interrupt.hpp>
#include <birds_vs_planes/train.hpp>

#include <tern/kernels/error.hpp>

#include <CLI/CLI.hpp>

#include <exception>
#include <new>
#include <string>

namespace {

enum ExitCode { ok = 0, failed = 1, usage = 2, diverged = 3, by_signal = 128 };

int run(const CLI::App& app, const birds_vs_planes::Options& options) {
  if (app.got_subcommand("train")) birds_vs_planes::train(options);
  if (app.got_subcommand("evaluate")) birds_vs_planes::evaluate(options);
  if (app.got_subcommand("predict")) return birds_vs_planes::predict(options) == 0 ? ok : failed;
  if (app.got_subcommand("info")) birds_vs_planes::info(options);
  if (app.got_subcommand("show")) birds_vs_planes::show(options);
  if (app.got_subcommand("compare")) birds_vs_planes::compare(options);
  if (app.got_subcommand("report")) birds_vs_planes::report(options);
  return ok;
}

int fail(const std::exception& e, int code) {
  birds_vs_planes::complain(e.what());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  if (!birds_vs_planes::open_standard_files()) return failed;
  birds_vs_planes::Options options;
  CLI::App app{"Tells birds from planes, as chapter 8 of \"Deep Learning with PyTorch\" does", "birds_vs_planes"};
  birds_vs_planes::declare_command_line(app, options);
  try {
    birds_vs_planes::parse_command_line(app, argc, argv);
    return run(app, options);
  } catch (const CLI::ParseError& e) {
    return e.get_exit_code() == 0 ? app.exit(e) : fail(e, usage);
  } catch (const birds_vs_planes::Interrupted& e) {
    return fail(e, by_signal + e.signal);
  } catch (const birds_vs_planes::Diverged& e) {
    return fail(e, diverged);
  } catch (const std::bad_alloc&) {
    return fail(tern::Error("no memory left"), failed);
  } catch (const std::exception& e) {
    return fail(e, failed);
  }
}
