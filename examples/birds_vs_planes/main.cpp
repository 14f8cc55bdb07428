#include <birds_vs_planes/command_line.hpp>
#include <birds_vs_planes/commands.hpp>
#include <birds_vs_planes/console.hpp>
#include <birds_vs_planes/failure.hpp>
#include <birds_vs_planes/ranks.hpp>

#include <tern/distributed/distributed.hpp>

#include <CLI/CLI.hpp>

#include <exception>
#include <string>

namespace {

using birds_vs_planes::ok, birds_vs_planes::failed;

int run(const CLI::App& app, const birds_vs_planes::Options& options) {
  if (app.got_subcommand("train")) birds_vs_planes::train(options);
  if (app.got_subcommand("evaluate")) birds_vs_planes::evaluate(options);
  if (app.got_subcommand("compare")) birds_vs_planes::compare(options);
  if (tern::distributed::rank() > 0) return ok;  // the others are one process's work
  if (app.got_subcommand("predict")) return birds_vs_planes::predict(options) == 0 ? ok : failed;
  if (app.got_subcommand("info")) birds_vs_planes::info(options);
  if (app.got_subcommand("show")) birds_vs_planes::show(options);
  if (app.got_subcommand("export")) birds_vs_planes::export_model(options);
  if (app.got_subcommand("report")) birds_vs_planes::report(options);
  return ok;
}

/// Says what went wrong, once for all ranks that have come to it together, and returns the exit code. A rank that has
/// come to it alone takes the others with it.
int fail(std::exception_ptr exception) {
  const auto [message, code, of_all_ranks] = birds_vs_planes::failure_of(exception);
  if (tern::distributed::world_size() > 1 && !of_all_ranks) {
    tern::distributed::abort(birds_vs_planes::printable(message));
  }
  if (tern::distributed::rank() == 0) birds_vs_planes::complain(message);
  tern::distributed::finalize();
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  if (!birds_vs_planes::open_standard_files()) return failed;
  birds_vs_planes::Options options;
  CLI::App app{"Tells birds from planes, as chapter 8 of \"Deep Learning with PyTorch\" does", "birds_vs_planes"};
  birds_vs_planes::declare_command_line(app, options);
  std::exception_ptr wrong;
  try {
    birds_vs_planes::parse_command_line(app, argc, argv);
  } catch (const CLI::Success& e) {  // help was asked for
    return app.exit(e);
  } catch (...) {
    wrong = std::current_exception();
  }
  try {
    birds_vs_planes::join_ranks(options);
    birds_vs_planes::together([&] {
      if (wrong) std::rethrow_exception(wrong);
    });
    const int code = run(app, options);
    tern::distributed::finalize();
    return code;
  } catch (...) {
    return fail(std::current_exception());
  }
}
