/**
 * What Elasticsearch's clients ask before they send: who are you, are you well, do you have my
 * template? They are told of a cluster of one node that keeps what it is given. Nothing of it is
 * kept: templates, policies and pipelines say how Elasticsearch indexes, and here everything is
 * searchable anyway.
 */
#include "server/server_priv.h"

#define ELASTIC_VERSION "8.19.0"

static void answer(server_request *request, const char *text)
{
    server_json json = server_answer_begin(request);
    server_json_raw(&json, text);
    server_answer_json(request, &json);
}

void server_elastic_root(server_request *request)
{
    answer(request,
           "{\"name\":\"logmill\",\"cluster_name\":\"logmill\",\"cluster_uuid\":\"logmill\","
           "\"version\":{\"number\":\"" ELASTIC_VERSION "\",\"build_flavor\":\"default\","
           "\"build_type\":\"deb\",\"build_hash\":\"0\",\"build_date\":\"2025-01-01T00:00:00Z\","
           "\"build_snapshot\":false,\"lucene_version\":\"9.12.0\","
           "\"minimum_wire_compatibility_version\":\"7.17.0\","
           "\"minimum_index_compatibility_version\":\"7.0.0\"},"
           "\"tagline\":\"You Know, for Search\",\"server\":\"logmill " LM_VERSION "\"}");
}

void server_elastic_cluster(server_request *request)
{
    answer(request, "{\"cluster_name\":\"logmill\",\"status\":\"green\",\"timed_out\":false,"
                    "\"number_of_nodes\":1,\"number_of_data_nodes\":1,\"active_primary_shards\":1,"
                    "\"active_shards\":1,\"relocating_shards\":0,\"initializing_shards\":0,"
                    "\"unassigned_shards\":0,\"delayed_unassigned_shards\":0,"
                    "\"number_of_pending_tasks\":0,\"number_of_in_flight_fetch\":0,"
                    "\"task_max_waiting_in_queue_millis\":0,"
                    "\"active_shards_percent_as_number\":100.0}");
}

void server_elastic_license(server_request *request)
{
    answer(request, "{\"license\":{\"status\":\"active\",\"uid\":\"logmill\",\"type\":\"basic\","
                    "\"mode\":\"basic\",\"issued_to\":\"logmill\",\"issuer\":\"logmill\"}}");
}

void server_elastic_xpack(server_request *request)
{
    answer(request,
           "{\"build\":{},\"license\":{\"uid\":\"logmill\",\"type\":\"basic\",\"mode\":\"basic\","
           "\"status\":\"active\"},\"features\":{\"ilm\":{\"available\":true,\"enabled\":true},"
           "\"monitoring\":{\"available\":false,\"enabled\":false},"
           "\"security\":{\"available\":true,\"enabled\":false}},\"tagline\":\"logmill\"}");
}

/** A client that looks for nodes to send to stays where it is: none has an address. */
void server_elastic_nodes(server_request *request)
{
    answer(request, "{\"_nodes\":{\"total\":1,\"successful\":1,\"failed\":0},"
                    "\"cluster_name\":\"logmill\",\"nodes\":{\"logmill\":{\"name\":\"logmill\","
                    "\"version\":\"" ELASTIC_VERSION "\",\"roles\":[\"data\",\"ingest\"]}}}");
}

void server_elastic_cat(server_request *request)
{
    lm_str format = server_form_get(&request->form, "format");
    bool is_health =
        request->path.count > 1 && lm_str_equal(request->path.parts[1], LM_STR("health"));
    if (lm_str_equal(format, LM_STR("json"))) {
        answer(request, is_health ? "[{\"cluster\":\"logmill\",\"status\":\"green\",\"node.total\":"
                                    "\"1\",\"node.data\":\"1\"}]"
                                  : "[]");
        return;
    }
    server_answer_text(request, MHD_HTTP_OK, "%s", is_health ? "logmill green 1 1" : "");
}

/** Templates, policies, pipelines: they are there, and a new one is fine. A client that reads one
 * finds its name with nothing in it. */
void server_elastic_kept(server_request *request)
{
    if (request->method == METHOD_PUT || request->method == METHOD_POST) {
        answer(request, "{\"acknowledged\":true}");
        return;
    }
    server_json json = server_answer_begin(request);
    lm_str kind = request->path.parts[0];
    lm_str name =
        request->path.count > 1 ? request->path.parts[request->path.count - 1] : LM_STR("logmill");
    server_json_open(&json, '{');
    if (lm_str_equal(kind, LM_STR("_index_template"))) {
        server_json_key(&json, "index_templates");
        server_json_open(&json, '[');
        server_json_open(&json, '{');
        server_json_key(&json, "name");
        server_json_text(&json, name);
        server_json_key(&json, "index_template");
        server_json_raw(&json, "{\"index_patterns\":[],\"composed_of\":[]}");
        server_json_close(&json, '}');
        server_json_close(&json, ']');
    } else if (lm_str_equal(kind, LM_STR("_data_stream"))) {
        server_json_key(&json, "data_streams");
        server_json_raw(&json, "[]");
    } else {
        server_json_key_text(&json, name);
        server_json_raw(&json, "{}");
    }
    server_json_close(&json, '}');
    server_answer_json(request, &json);
}

/** An index is there as soon as somebody names it. */
void server_elastic_index(server_request *request)
{
    server_json json = server_answer_begin(request);
    server_json_open(&json, '{');
    server_json_key(&json, "acknowledged");
    server_json_bool(&json, true);
    server_json_key(&json, "shards_acknowledged");
    server_json_bool(&json, true);
    server_json_key(&json, "index");
    server_json_text(&json, request->path.parts[0]);
    server_json_close(&json, '}');
    server_answer_json(request, &json);
}
