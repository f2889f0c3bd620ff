/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * nativeprobe PROFILE FILE [PATH] - where ramtrack-bpf would put entry probes in FILE, for scripts that compare it with binutils' account
 * (tools/check_native.py, tests/vllm/test_native.py). PATH: what the file is called in the target, if not FILE; rules that are only for --native-alloc count.
 *
 * One JSON object: "rules", a list of { "symbols", "kind", "found": "found", "stands in" or "not found", "reason" } of those whose library the file is, and "sites",
 * a list of { "symbol": the first of its rule, "name", "entry", "offset": in the file, in bytes, "flags": see enum rt_site_flags }.
 *
 * Exit status: 0, 1 error, 2 usage.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "nativesym.h"
#include "profile.h"

static json_t *texts(char *const *text, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, json_string(text[i]));
	return array;
}

static json_t *rules_json(const struct rt_profile *profile, const struct rt_native_sites *sites)
{
	static const char *const words[] = {
		[RT_NATIVE_NOT_ASKED] = "not asked",
		[RT_NATIVE_FOUND] = "found",
		[RT_NATIVE_STANDS_IN] = "stands in",
		[RT_NATIVE_NOT_FOUND] = "not found",
	};
	json_t *array = json_array();

	for (size_t i = 0; i < profile->n_natives; i++) {
		const struct rt_native_rule *rule = &profile->natives[i];

		if (sites->rule[i].found != RT_NATIVE_NOT_ASKED)
			json_array_append_new(array, json_pack("{s:o, s:s, s:s, s:s}", "symbols", texts(rule->symbols, rule->n_symbols), "kind", rule->kind, "found",
							       words[sites->rule[i].found], "reason", sites->rule[i].reason));
	}
	return array;
}

static json_t *sites_json(const struct rt_profile *profile, const struct rt_native_sites *sites)
{
	json_t *array = json_array();

	for (size_t i = 0; i < sites->n; i++) {
		const struct rt_native_site *site = &sites->site[i];

		json_array_append_new(array, json_pack("{s:s, s:s, s:I, s:I, s:i}", "symbol", profile->natives[site->rule].symbols[0], "name", site->name, "entry",
						       (json_int_t)site->entry, "offset", (json_int_t)site->offset, "flags", (int)site->flags));
	}
	return array;
}

static int look(const struct rt_profile *profile, const char *file, const char *path)
{
	struct rt_native_request request = { .profile = profile, .root_fd = -1, .path = path };
	struct rt_native_sites sites;
	char why[512] = "";
	json_t *answer;
	int err;

	request.mask = rt_native_rules_for(profile, path, true);
	request.fd = open(file, O_RDONLY | O_CLOEXEC);
	if (request.fd < 0) {
		fprintf(stderr, "nativeprobe: %s: %s\n", file, strerror(errno));
		return 1;
	}
	err = rt_native_read(&request, &sites, why, sizeof(why));
	close(request.fd);
	if (err) {
		fprintf(stderr, "nativeprobe: %s\n", why);
		return 1;
	}
	answer = json_pack("{s:o, s:o}", "rules", rules_json(profile, &sites), "sites", sites_json(profile, &sites));
	rt_native_sites_release(&sites);
	err = !answer || json_dumpf(answer, stdout, JSON_COMPACT | JSON_SORT_KEYS) || puts("") == EOF || fflush(stdout);
	json_decref(answer);
	if (err)
		fputs("nativeprobe: the answer cannot be written\n", stderr);
	return err ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct rt_profile *profile;
	char *error = NULL;
	int status;

	if (argc != 3 && argc != 4) {
		fputs("usage: nativeprobe PROFILE FILE [PATH]\n", stderr);
		return 2;
	}
	profile = rt_profile_read(argv[1], &error);
	if (!profile) {
		fprintf(stderr, "nativeprobe: %s\n", error ? error : "out of memory");
		free(error);
		return 1;
	}
	status = look(profile, argv[2], argc == 4 ? argv[3] : argv[2]);
	rt_profile_free(profile);
	return status;
}
