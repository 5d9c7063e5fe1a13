"""Every sentence that the server says, in English and Chinese."""

from typing import Any

LANGUAGES = ("en", "zh")

# What can go wrong, by the code that the raising place gives.
ERRORS: dict[str, dict[str, str]] = {
    "en": {
        "empty": "Please write something first.",
        "too_long": "This text has {length} characters; at most {limit} fit.",
        "not_text": "This text holds characters that cannot be stored. Please type it again.",
        "text_expected": "A text was expected here.",
        "unknown_kind": "GenLoop knows no feedback of the kind “{kind}”.",
        "key_is_no_uuid": "The key of an event must be a UUID.",
        "key_reused": "This key was already used for something else.",
        "thumb_value": "A thumb is 1 (up) or -1 (down).",
        "stars_value": "Stars are a whole number from 1 to 5.",
        "reasons_value": "Give at least one reason.",
        "unknown_reason": "“{reason}” is not one of the reasons offered.",
        "choice_value": "A choice is true, or null to take it back.",
        "choice_needs_drafts": "There is only one draft; there is nothing to choose from.",
        "rank_value": "A rank is a whole number from 1 (the best) to {places}.",
        "region_value": "Please mark a place in the picture with the brush first.",
        "region_too_long": "This is too much brushwork for one remark; please mark less.",
        "vote_value": "An answer is left, right, tie or both_bad.",
        "not_a_pair": "Two outputs of one request can be compared, and these are not.",
        "no_picture": "This output is no picture, or its file is gone.",
        "unknown_generation": "This output is not one of yours, or it no longer exists.",
        "no_visitor": "Your browser has no GenLoop name yet. Please reload the page.",
        "no_consent": "You have not agreed that anything be kept, so this was not stored.",
        "old_terms": "The text that you answered has changed. Please reload the page and read it "
        "again.",
        "busy": "Very many are writing at this moment; nothing was lost, please try again.",
        "storage": "The server's storage cannot be used at this moment. Please try again later.",
        "internal": "Something went wrong on our side. Reference: {reference}.",
        "invalid_request": "This request does not have the expected form: {where}.",
        "not_found": "There is nothing at this address.",
        "method_not_allowed": "This address does not take such a request.",
        "too_large": "This request is too large; at most {limit} bytes are taken.",
        "foreign_origin": "This request comes from another website and is not taken.",
        "too_many": "That was very much in a short time. Please try again in {seconds} seconds.",
        "owner_only": "This is the owner's area. Please log in.",
        "wrong_token": "That is not the owner's token.",
        "metrics_token": "The metrics are for who sends their token: Authorization: Bearer …",
        "not_an_owner": "The account {account} is none of the owners' of this app.",
        "hub_login_failed": "Logging in at Hugging Face did not work. Please try again.",
        # Generation
        "out_of_range": "{option} must be a number from {low} to {high}.",
        "whole_out_of_range": "{option} must be a whole number from {low} to {high}.",
        "whole_expected": "{option} must be a whole number.",
        "prompt_too_long_for_model": "This prompt has {tokens} tokens; the model takes at most "
        "{room}.",
        "model_is_no_chat": "{model} continues texts; it does not chat.",
        "unknown_action": "An output can be retried or continued, not “{action}”.",
        "unknown_model": "There is no model called “{model}” here.",
        "queue_full": "Very many are waiting for this model. Please try again in a minute.",
        "no_export": "The files of {label} are not here.",
        "stopped_early": "Stopped before anything was made.",
        "gpu_busy": "No GPU was free within a minute. Please try again a little later.",
        "gpu_quota": "Your GPU time at Hugging Face does not reach for this. Log in there, ask for "
        "less, or wait. They say: {said}",
        "model_failed": "The model broke off in the middle. Nothing was kept; please try again.",
        "version_gone": "This was written by a version of {model} that is no longer loaded.",
        "picture_version_gone": "This was drawn by a version of {model} that is no longer loaded.",
        "adapters_expected": "The weights of adapters are given by name, such as "
        '{{"pencil": 0.8}}.',
        # Pictures
        "unknown_scheduler": "There is no scheduler called “{scheduler}”.",
        "scheduler_for_model": "The scheduler {scheduler} does not fit this model.",
        "size_for_model": "{option} must be a multiple of {multiple} from {low} to {high} for this "
        "model.",
        "unknown_adapter": "This model has no adapter called “{adapter}”.",
        "no_negative_prompt": "{model} takes no negative prompt.",
        "no_parameters": "This is no picture that GenLoop made, or what it said of itself was "
        "removed.",
        "picture_too_many_bytes": "This file is too large; at most {limit} MB are taken.",
        "picture_too_many_pixels": "This picture is too large; at most {limit} million pixels are "
        "taken.",
        "picture_too_many_frames": "This film is too long; at most {limit} frames are taken.",
        "picture_format": "This is no picture in one of the formats PNG, JPEG, WebP and GIF.",
        "picture_unreadable": "This picture is damaged and cannot be read.",
        # Models that cannot be used
        "model_missing": "The model {model} was not found.",
        "model_unpinned": "{model} names no version. Write ORG/NAME@COMMIT with the 40 digits of "
        "a commit, so that the model cannot change unseen.",
        "model_no_network": "The model {model} is not on this machine and could not be fetched: "
        "the Hub cannot be reached.",
        "model_gated": "The model {model} is only given to accounts that its makers have let in.",
        "model_pickle_only": "{model} has no safetensors weights. Pickled weights can run code "
        "and are never loaded.",
        "model_remote_code": "{model} needs code of its own, which is never run here.",
        "model_unknown_type": "{model} is of a type ({type}) that this version does not know.",
        "model_too_big": "{model} needs about {needed} GB of memory; {free} GB are free.",
        "model_no_memory": "There was not enough memory to load {model}.",
        "model_unreadable": "The files of {model} cannot be read as a model of this kind.",
        "model_incomplete": "The folder of {model} is not whole: {component} is missing.",
        "adapter_unfit": "The adapter {model} does not fit the image model.",
        "offload_without_gpu": "The settings let {model} move between a GPU and main memory, but "
        "this machine has no GPU.",
        # Engines elsewhere that serve a model
        "engine_unreachable": "{model} cannot be reached at this moment. Please try again in a "
        "minute.",
        "engine_busy": "{model} has too much to do at this moment. Please try again in {seconds} "
        "seconds.",
        "engine_key": "{model} does not accept this site's key. Only the owner of the site can "
        "mend that.",
        "engine_unpaid": "The account for {model} has no credit left. Only the owner of the site "
        "can mend that.",
        "engine_unknown_model": "{model} is not known where it should be served. Only the owner of "
        "the site can mend that.",
        "engine_failed": "{model} failed at this request (HTTP {status}). Please try again.",
        "engine_slow": "{model} did not answer in time. Please try again.",
        "engine_broken": "The connection to {model} broke off in the middle. Nothing was kept; "
        "please try again.",
        "engine_answer": "{model} sent something that is no answer. Please try again, and tell the "
        "owner of the site if it goes on.",
        "engine_too_long": "This is too long for {model}. Please shorten the prompt, or ask for a "
        "shorter text.",
        "engine_option": "{model} does not take the option {option}. Please leave it as it was.",
        "engine_no_continue": "{model} cannot go on from a text that it has begun. Please use "
        "Retry.",
        "engine_refused": "{model} does not accept this request (HTTP {status}).",
        # Latent models
        "unknown_source": "Samples come from the prior or the mixture, not from “{source}”.",
        "unknown_latent_action": "A latent model cannot be asked for “{action}”.",
        "latent_model_unreadable": "The files of {model} cannot be read as a latent model.",
        "latent_no_sampling": "{model} encodes and decodes pictures; it has no prior to sample.",
        "latent_no_mixture": "No mixture was fitted to the codes of {model}; sample its prior.",
        "latent_no_encoder": "{model} is a GAN: it generates, but it cannot encode.",
        "latent_no_map": "{model} has no map.",
        "latent_columns": "This model takes rows of {expected} numbers; here are {count}.",
        "latent_code": "A code of this model has {expected} numbers; here are {count}.",
        "latent_values": "A traversal takes 1 to {limit} values.",
        "latent_place": "Please choose a sample, a place on the map, a picture or a text first.",
        "latent_other_kind": "{model} does not take this kind of data.",
        "unknown_picture": "This picture is no longer here. Please upload it again.",
        "taste_needs_choices": "A taste needs at least {fewest} choices, both for and against; "
        "please rate a few more samples.",
        "taste_of_another_model": "This taste was learned on another model and does not fit here.",
        # Training a latent model
        "job_running": "A training is under way; only one runs at a time. Please wait for its "
        "end or stop it.",
        "unknown_training": "There is no training of the kind “{kind}”.",
        "unknown_group": "Choose among these groups: {groups}.",
        "picture_size": "Pictures can be learned at these sizes: {sizes} pixels.",
        "training_diverged": "The training broke down in epoch {epoch}: the loss is no longer a "
        "number. Please try a lower learning rate.",
        "data_empty": "There is no data in this file.",
        "data_too_large": "This file is too large; at most {limit} kB are taken.",
        "data_no_text": "This file is no text in UTF-8 or GB 18030.",
        "table_unreadable": "This file cannot be read as a table in CSV format.",
        "table_columns": "This table has {count} columns; at most {limit} are taken.",
        "table_rows": "This table has {count} rows of data; {low} to {high} are taken.",
        "table_row_length": "Row {row} has {count} cells; {expected} were expected.",
        "table_bad_cells": "{count} cells are no numbers, too many to go on. The first: row {row}, "
        "column “{column}”, with “{value}”.",
        "table_no_columns": "No column with different numbers is left after cleaning.",
        "pictures_count": "{count} pictures can be read; {low} to {high} are taken.",
        "zip_unreadable": "This file cannot be read as a zip archive.",
        "zip_entries": "This archive has {count} files; at most {limit} are taken.",
        "zip_bomb": "This archive would be far too large when unpacked.",
        "zip_names": "This archive holds a name that points out of its folder: {name}",
        "sentences_count": "{count} sentences were found; {low} to {high} are taken, one a line.",
        "sentence_length": "Line {row} has {length} characters; at most {limit} fit.",
        "training_off": "Training is switched off on this server.",
        "unknown_job": "This training is not one of yours, or it no longer exists.",
        "no_groups": "Training on emoji needs the bundled VAE with its map, which is not there. "
        "Bring a zip of pictures, or train on vectors or sentences.",
        "taste_needs_consent": "Your choices are not kept, so there is nothing to learn your taste "
        "from. You can change that under “My data”.",
        # Owner
        "bad_date": "Please write a date as YYYY-MM-DD.",
    },
    "zh": {
        "empty": "请先写点什么。",
        "too_long": "这段文字有 {length} 个字符，最多 {limit} 个。",
        "not_text": "这段文字含有无法保存的字符，请重新输入。",
        "text_expected": "这里需要一段文字。",
        "unknown_kind": "GenLoop 没有“{kind}”这种反馈。",
        "key_is_no_uuid": "事件的键必须是 UUID。",
        "key_reused": "这个键已用于别的内容。",
        "thumb_value": "点赞为 1，点踩为 -1。",
        "stars_value": "星级是 1 到 5 的整数。",
        "reasons_value": "请至少选择一个理由。",
        "unknown_reason": "“{reason}”不在可选理由之中。",
        "choice_value": "选择只能是 true；撤回用 null。",
        "choice_needs_drafts": "只有一份草稿，无从选择。",
        "rank_value": "名次是 1（最好）到 {places} 的整数。",
        "region_value": "请先用画笔在图上标出位置。",
        "region_too_long": "一条意见的涂抹太多，请少标一些。",
        "vote_value": "答案只能是 left、right、tie 或 both_bad。",
        "not_a_pair": "只能比较同一次请求的两个结果，这两个不是。",
        "no_picture": "这个结果不是图片，或图片文件已不存在。",
        "unknown_generation": "这个结果不属于您，或者已不存在。",
        "no_visitor": "浏览器还没有 GenLoop 代号，请刷新页面。",
        "no_consent": "您没有同意保存，因此这条内容没有存储。",
        "old_terms": "您回答的说明已有更新，请刷新页面重新阅读。",
        "busy": "此刻写入的人太多；什么都没有丢失，请再试一次。",
        "storage": "服务器的存储暂时无法使用，请稍后再试。",
        "internal": "我们这边出了问题。编号：{reference}。",
        "invalid_request": "请求的格式不对：{where}。",
        "not_found": "这个地址没有内容。",
        "method_not_allowed": "这个地址不接受这种请求。",
        "too_large": "请求太大，最多 {limit} 字节。",
        "foreign_origin": "这个请求来自别的网站，不予接受。",
        "too_many": "短时间内的请求太多，请在 {seconds} 秒后再试。",
        "owner_only": "这里是所有者区域，请先登录。",
        "wrong_token": "所有者口令不对。",
        "metrics_token": "读取指标需要带上指标口令：Authorization: Bearer …",
        "not_an_owner": "账号 {account} 不是本应用的所有者。",
        "hub_login_failed": "未能通过 Hugging Face 登录，请再试一次。",
        # 生成
        "out_of_range": "{option}必须是 {low} 到 {high} 之间的数。",
        "whole_out_of_range": "{option}必须是 {low} 到 {high} 之间的整数。",
        "whole_expected": "{option}必须是整数。",
        "prompt_too_long_for_model": "这段提示词有 {tokens} 个词元，模型最多接受 {room} 个。",
        "model_is_no_chat": "{model} 只能续写，不能对话。",
        "unknown_action": "作品可以重写（retry）或续写（continue），没有“{action}”。",
        "unknown_model": "这里没有名为“{model}”的模型。",
        "queue_full": "等待这个模型的人太多，请稍后再试。",
        "no_export": "{label} 的文件不在这里。",
        "stopped_early": "已停止，尚未生成任何内容。",
        "gpu_busy": "一分钟内没有空闲的 GPU，请稍后再试。",
        "gpu_quota": "您在 Hugging Face 的 GPU 时长不够完成这次请求。"
        "请登录 Hugging Face、减少要求或稍候再试。"
        "对方的说明：{said}",
        "model_failed": "模型中途出错，没有保存任何内容，请再试一次。",
        "version_gone": "写出这段文字的 {model} 版本已不再加载。",
        "picture_version_gone": "画出这张图片的 {model} 版本已不再加载。",
        "adapters_expected": '适配器的权重按名称给出，例如 {{"pencil": 0.8}}。',
        # 图片
        "unknown_scheduler": "没有名为“{scheduler}”的采样器。",
        "scheduler_for_model": "采样器 {scheduler} 不适用于这个模型。",
        "size_for_model": "对这个模型，{option}必须是 {multiple} 的倍数，从 {low} 到 {high}。",
        "unknown_adapter": "这个模型没有名为“{adapter}”的适配器。",
        "no_negative_prompt": "{model} 不接受反向提示词。",
        "no_parameters": "这不是 GenLoop 生成的图片，或者图片自带的说明已被删除。",
        "picture_too_many_bytes": "文件太大，最多 {limit} MB。",
        "picture_too_many_pixels": "图片太大，最多 {limit} 百万像素。",
        "picture_too_many_frames": "动画太长，最多 {limit} 帧。",
        "picture_format": "这不是 PNG、JPEG、WebP 或 GIF 格式的图片。",
        "picture_unreadable": "图片已损坏，无法读取。",
        # 无法使用的模型
        "model_missing": "找不到模型 {model}。",
        "model_unpinned": "{model} 没有指明版本。请写成 ORG/NAME@COMMIT，COMMIT 为 40 位提交号，"
        "以免模型暗中改变。",
        "model_no_network": "本机没有模型 {model}，也无法从 Hub 获取。",
        "model_gated": "模型 {model} 只提供给作者批准的账号。",
        "model_pickle_only": "{model} 没有 safetensors 权重；pickle 权重可能执行代码，从不加载。",
        "model_remote_code": "{model} 需要运行自带代码，这里从不运行。",
        "model_unknown_type": "{model} 的类型（{type}）本版本不认识。",
        "model_too_big": "{model} 约需 {needed} GB 内存，现有 {free} GB 可用。",
        "model_no_memory": "内存不足，无法加载 {model}。",
        "model_unreadable": "{model} 的文件无法作为这类模型读取。",
        "model_incomplete": "{model} 的文件夹不完整：缺少 {component}。",
        "adapter_unfit": "适配器 {model} 不适用于这个图像模型。",
        "offload_without_gpu": "设置要求 {model} 在 GPU 与内存之间换入换出，但本机没有 GPU。",
        # 外部推理引擎
        "engine_unreachable": "目前无法连接 {model}，请过一分钟再试。",
        "engine_busy": "{model} 目前太忙，请在 {seconds} 秒后再试。",
        "engine_key": "{model} 不接受本站的密钥，只有站点所有者能解决。",
        "engine_unpaid": "{model} 的账户余额不足，只有站点所有者能解决。",
        "engine_unknown_model": "服务方没有名为 {model} 的模型，只有站点所有者能解决。",
        "engine_failed": "{model} 处理这个请求时出错（HTTP {status}），请再试一次。",
        "engine_slow": "{model} 未能及时答复，请再试一次。",
        "engine_broken": "与 {model} 的连接中途断开，没有保存任何内容，请再试一次。",
        "engine_answer": "{model} 的答复无法使用。请再试一次；若一直如此，请告知站点所有者。",
        "engine_too_long": "这对 {model} 来说太长了。请缩短提示词，或要求更短的文字。",
        "engine_option": "{model} 不接受选项 {option}，请保持原值。",
        "engine_no_continue": "{model} 不能接着已写的文字续写，请改用重写。",
        "engine_refused": "{model} 不接受这个请求（HTTP {status}）。",
        # 潜空间模型
        "unknown_source": "样本来自先验（prior）或混合分布（mixture），没有“{source}”。",
        "unknown_latent_action": "潜空间模型没有“{action}”这种操作。",
        "latent_model_unreadable": "{model} 的文件无法作为潜空间模型读取。",
        "latent_no_sampling": "{model} 只能编码和解码图片，没有可供采样的先验。",
        "latent_no_mixture": "{model} 没有拟合混合分布，请从先验采样。",
        "latent_no_encoder": "{model} 是 GAN：只能生成，不能编码。",
        "latent_no_map": "{model} 没有潜空间地图。",
        "latent_columns": "这个模型每行需要 {expected} 个数，这里有 {count} 个。",
        "latent_code": "这个模型的编码有 {expected} 个数，这里有 {count} 个。",
        "latent_values": "遍历需要 1 到 {limit} 个值。",
        "latent_place": "请先选择一个样本、地图上的一点、一张图片或一段文字。",
        "latent_other_kind": "{model} 不接受这类数据。",
        "unknown_picture": "这张图片已不在这里，请重新上传。",
        "taste_needs_choices": "学习口味至少需要 {fewest} 个选择，喜欢和不喜欢都要有；"
        "请再评几个样本。",
        "taste_of_another_model": "这份口味是在别的模型上学到的，不适用于这里。",
        # 训练潜空间模型
        "job_running": "已有一个训练在进行，同一时间只能进行一个。请等它结束，或先停止它。",
        "unknown_training": "没有“{kind}”这种训练。",
        "unknown_group": "请从这些类别中选择：{groups}。",
        "picture_size": "图片只能按这些尺寸学习：{sizes} 像素。",
        "training_diverged": "训练在第 {epoch} 轮失败：损失已不是数字。请降低学习率再试。",
        "data_empty": "这个文件里没有数据。",
        "data_too_large": "文件太大，最多 {limit} kB。",
        "data_no_text": "这个文件不是 UTF-8 或 GB 18030 编码的文本。",
        "table_unreadable": "这个文件无法作为 CSV 表格读取。",
        "table_columns": "这个表格有 {count} 列，最多 {limit} 列。",
        "table_rows": "这个表格有 {count} 行数据，允许 {low} 到 {high} 行。",
        "table_row_length": "第 {row} 行有 {count} 个单元格，应为 {expected} 个。",
        "table_bad_cells": "有 {count} 个单元格不是数字，太多了，无法继续。第一个：第 {row} 行，"
        "“{column}”列，内容为“{value}”。",
        "table_no_columns": "清洗之后没有剩下数值有变化的列。",
        "pictures_count": "可读的图片有 {count} 张，允许 {low} 到 {high} 张。",
        "zip_unreadable": "这个文件无法作为 zip 压缩包读取。",
        "zip_entries": "这个压缩包有 {count} 个文件，最多 {limit} 个。",
        "zip_bomb": "这个压缩包解开后会大得多，不予接受。",
        "zip_names": "这个压缩包里有指向文件夹之外的文件名：{name}",
        "sentences_count": "找到 {count} 个句子，允许 {low} 到 {high} 个，每行一句。",
        "sentence_length": "第 {row} 行有 {length} 个字符，最多 {limit} 个。",
        "training_off": "此服务器未开放训练。",
        "unknown_job": "这个训练不属于您，或者已不存在。",
        "no_groups": "用表情训练需要自带的 VAE 及其地图，目前没有。"
        "请上传图片 zip，或训练向量、句子。",
        "taste_needs_consent": "您的选择没有保存，因此无从学习口味。可在“我的数据”中更改。",
        # 管理
        "bad_date": "请按 YYYY-MM-DD 填写日期。",
    },
}


# The page where the owner logs in.
OWNER_LOGIN: dict[str, dict[str, str]] = {
    "en": {
        "title": "GenLoop: owner",
        "token": "Owner's token",
        "log_in": "Log in",
        "hub_login": "Log in with Hugging Face",
        "where": "It was printed when the app first started, and lies in the file owner-token of "
        "the data folder; or it is what GENLOOP_OWNER_TOKEN says.",
    },
    "zh": {
        "title": "GenLoop：所有者",
        "token": "所有者口令",
        "log_in": "登录",
        "hub_login": "通过 Hugging Face 登录",
        "where": "口令在应用首次启动时显示过一次，保存在数据文件夹的 owner-token 文件中；"
        "若设置了 GENLOOP_OWNER_TOKEN，则以它为准。",
    },
}


def error_sentence(code: str, language: str, **details: Any) -> str:
    """The sentence of a code; raises KeyError for a code without one, which a test finds."""
    return ERRORS[language][code].format(**details)


def preferred_language(accept_language: str | None) -> str:
    """The first of our languages in an Accept-Language header (RFC 9110, 12.5.4), else English."""
    wishes: list[tuple[float, str]] = []
    for part in (accept_language or "").split(","):
        tag, _, parameter = part.strip().partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            weight = 0.0
        language = tag.strip().lower().split("-")[0]
        if language in LANGUAGES and weight > 0:
            wishes.append((-weight, language))
    return min(wishes, key=lambda wish: wish[0])[1] if wishes else "en"
