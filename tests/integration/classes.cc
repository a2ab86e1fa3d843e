// SPDX-License-Identifier: BSD-2-Clause
// Some hundreds of classes, with bases, virtual functions, empty bases, bitfields and templates in templates: the C++
// library's own. Nothing here is run.
#include <deque>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

struct everything {
	std::map<std::string, std::vector<int>> map;
	std::unordered_map<int, std::list<std::string>> unordered;
	std::variant<int, double, std::string> variant;
	std::optional<std::tuple<char, long, std::set<short>>> optional;
	std::function<int(std::string)> function;
	std::shared_ptr<std::deque<float>> shared;
	std::stringstream stream;
	std::promise<int> promise;
};

int main(int argc, char **argv)
{
	everything all;

	all.map[argv[0]].push_back(argc);
	all.unordered[1].push_back("x");
	all.function = [argc](std::string s) { return (int)s.size() + argc; };
	all.shared = std::make_shared<std::deque<float>>();
	all.promise.set_value(argc);
	return all.function("") + all.promise.get_future().get();
}
